'use strict';
'require baseclass';
'require rpc';

const declare = (method, params, expect) => rpc.declare({ object: 'uci', method, params, expect, reject: true });
const call = {
	get: declare('get', ['config'], { values: {} }),
	add: declare('add', ['config', 'type', 'name', 'values'], { section: '' }),
	set: declare('set', ['config', 'section', 'values']),
	remove: declare('delete', ['config', 'section', 'options']),
	order: declare('order', ['config', 'sections']),
	apply: declare('apply', ['timeout', 'rollback']),
	confirm: declare('confirm')
};

/* The configuration as the page has it: what was loaded, and a copy that is changed until save() stages the difference. */
return baseclass.extend({
	loaded: {},
	current: {},
	created: 0,
	changes: rpc.declare({ object: 'uci', method: 'changes', expect: { changes: {} } }),

	load(names) {
		return Promise.all(L.toArray(names).filter((name) => !this.loaded[name]).map((name) => call.get(name).then((values) => {
			this.loaded[name] = values;
			this.current[name] = structuredClone(values);
		})));
	},

	unload(names) {
		for (const name of L.toArray(names)) {
			delete this.loaded[name];
			delete this.current[name];
		}
	},

	sections(conf, type, callback) {
		const found = Object.values(this.current[conf] ?? {}).filter((each) => !type || each['.type'] == type);
		found.sort((a, b) => a['.index'] - b['.index']);
		found.forEach((each) => callback?.(each, each['.name']));
		return found;
	},

	get(conf, sid, option) {
		const section = this.current[conf]?.[sid];
		return section == null || option == null ? section ?? null : section[option];
	},

	set(conf, sid, option, value) {
		const section = this.current[conf]?.[sid];
		if (!section || option.startsWith('.'))
			return;
		if (value == null || value === '')
			delete section[option];
		else
			section[option] = value;
	},

	unset(conf, sid, option) {
		this.set(conf, sid, option, null);
	},

	add(conf, type, name) {
		const sid = name || 'new%06x'.format(Math.random() * 0xffffff);
		this.current[conf][sid] = { '.type': type, '.name': sid, '.anonymous': !name, '.create': name ?? '', '.index': 1000 + this.created++ };
		return sid;
	},

	clone(conf, type, from, next, name) {
		const sid = this.add(conf, type, name);
		this.current[conf][sid] = { ...structuredClone(this.current[conf][from]), ...this.current[conf][sid] };
		if (next)
			this.move(conf, sid, from, true);
		return sid;
	},

	remove(conf, sid) {
		delete this.current[conf]?.[sid];
	},

	move(conf, sid, other, after) {
		const order = this.sections(conf).filter((each) => each['.name'] != sid);
		const place = order.findIndex((each) => each['.name'] == other);
		order.splice(place < 0 ? order.length : place + !!after, 0, this.current[conf][sid]);
		order.forEach((each, index) => { each['.index'] = index; });
		this.reordered = { ...this.reordered, [conf]: true };
		return true;
	},

	async save() {
		const touched = [];
		for (const conf in this.current) {
			const tasks = this.staged(conf);
			await Promise.all(tasks);
			if (this.reordered?.[conf])
				await call.order(conf, this.sections(conf).map((each) => each['.name']));
			if (tasks.length || this.reordered?.[conf])
				touched.push(conf);
		}
		this.reordered = null;
		this.unload(touched);
		await this.load(touched);
	},

	/* What was changed, as calls in LuCI's order: removals, new sections, settings. */
	staged(conf) {
		const before = this.loaded[conf], now = this.current[conf], tasks = [];
		const options = (section) => Object.fromEntries(Object.entries(section).filter(([name]) => !name.startsWith('.')));
		for (const sid in before) {
			const gone = now[sid] ? Object.keys(before[sid]).filter((name) => !(name in now[sid])) : null;
			if (!gone || gone.length)
				tasks.push(call.remove(conf, sid, gone));
		}
		for (const sid in now) {
			if (!before[sid]) {
				tasks.push(call.add(conf, now[sid]['.type'], now[sid]['.create'] || null, options(now[sid])).then((name) => {
					now[sid]['.name'] = name;
				}));
				continue;
			}
			const changed = Object.entries(options(now[sid])).filter(([name, value]) => JSON.stringify(value) != JSON.stringify(before[sid][name]));
			if (changed.length)
				tasks.push(call.set(conf, sid, Object.fromEntries(changed)));
		}
		return tasks;
	},

	async apply(timeout, checked) {
		await call.apply(timeout ?? 10, checked);
		if (checked)
			await call.confirm();
	}
});
