/* The part of LuCI's runtime that the views of this package use, written for the tests: LuCI itself is not at hand where
 * they run. It behaves like LuCI wherever a view could tell the difference, and above all where text becomes markup: a
 * plain string as a child is parsed as HTML, a string inside an array is text.
 *
 * Classes are in files of the same names as LuCI's and are loaded in the same way, by 'require ...' at their beginning.
 */
'use strict';

/* printf with LuCI's own letters: %h escapes HTML, %t is a time, %m a number with a metric prefix. */
String.prototype.format = function(...args) {
	const escape = (text) => String(text).replace(/[&"'<>]/g, (c) => '&#%d;'.format(c.charCodeAt(0)));
	const time = (seconds) => {
		const parts = [[86400, 'd'], [3600, 'h'], [60, 'm']].map(([size, unit]) => {
			const whole = Math.floor(seconds / size);
			seconds -= whole * size;
			return whole ? whole + unit + ' ' : '';
		});
		return parts.join('') + Math.floor(seconds) + 's';
	};
	const metric = (value, base, digits) => {
		const units = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
		let power = 0;
		for (; power < units.length - 1 && value > base; power++)
			value /= base;
		return value.toFixed(power ? digits : 0) + ' ' + units[power] + (base == 1024 && power ? 'i' : '');
	};
	let next = 0;
	return this.replace(/%('.|0| )?(-)?(\d+)?(?:\.(\d+))?([%bcdufosxXqhjtm])/g, (whole, pad, left, width, digits, kind) => {
		if (kind == '%')
			return '%';
		if (next >= args.length)
			return whole;
		const value = args[next++];
		const text = {
			b: () => Math.floor(+value || 0).toString(2),
			c: () => String.fromCharCode(+value || 0),
			d: () => Math.floor(+value || 0).toFixed(0),
			u: () => (Math.floor(+value || 0) >>> 0).toFixed(0),
			f: () => digits == null ? String(+value || 0) : (+value || 0).toFixed(+digits),
			o: () => Math.floor(+value || 0).toString(8),
			s: () => value == null ? '' : String(value),
			x: () => Math.floor(+value || 0).toString(16),
			X: () => Math.floor(+value || 0).toString(16).toUpperCase(),
			q: () => String(value ?? '').replace(/["']/g, (c) => '&#%d;'.format(c.charCodeAt(0))),
			h: () => value == null ? '' : escape(value),
			j: () => JSON.stringify(value),
			t: () => time(+value || 0),
			m: () => metric(+value || 0, +(width || 1000), +(digits ?? 2))
		}[kind]();
		if (kind == 'm' || !width)
			return text;
		return left ? text.padEnd(width) : text.padStart(width, (pad ?? ' ').slice(-1));
	});
};

window.LuCI = (() => {
	/* Classes: extend(), __init__() and super(name, arguments). */
	class Base {
		constructor(...args) {
			this.__init__(...args);
		}

		__init__() {}

		super(name, ...args) {
			const running = this.__running ??= {};
			let owner = running[name];
			if (!owner)
				for (owner = Object.getPrototypeOf(this); !Object.hasOwn(owner, name);)
					owner = Object.getPrototypeOf(owner);
			for (owner = Object.getPrototypeOf(owner); owner && !Object.hasOwn(owner, name);)
				owner = Object.getPrototypeOf(owner);
			if (!owner)
				return null;
			const before = running[name];
			running[name] = owner;
			try {
				return owner[name].apply(this, Array.isArray(args[0]) ? args[0] : args);
			}
			finally {
				running[name] = before;
			}
		}

		static extend(properties) {
			const made = class extends this {};
			for (const name in properties)
				Object.defineProperty(made.prototype, name, { value: properties[name], writable: true, configurable: true });
			return made;
		}

		static instantiate(args) {
			return new this(...args);
		}

		static isSubclass(other) {
			return typeof(other) == 'function' && other.prototype instanceof this;
		}
	}

	const dom = new (Base.extend({
		elem: (e) => e != null && typeof(e) == 'object' && 'nodeType' in e,

		parse: (text) => new DOMParser().parseFromString(text, 'text/html').body.firstChild,

		append(node, children) {
			if (!this.elem(node) || children == null)
				return null;
			if (typeof(children) == 'function')
				return this.append(node, children(node));
			if (Array.isArray(children))
				for (const child of children.filter((each) => each != null))
					node.appendChild(this.elem(child) ? child : document.createTextNode(String(child)));
			else if (this.elem(children))
				node.appendChild(children);
			else
				node.innerHTML = String(children);
			return node.lastChild;
		},

		content(node, children) {
			if (!this.elem(node))
				return null;
			node.replaceChildren();
			return this.append(node, children);
		},

		attr(node, key, value) {
			const all = typeof(key) == 'string' ? { [key]: value } : key ?? {};
			for (const name in all) {
				if (all[name] == null)
					continue;
				if (typeof(all[name]) == 'function')
					node.addEventListener(name, all[name]);
				else
					node.setAttribute(name, typeof(all[name]) == 'object' ? JSON.stringify(all[name]) : all[name]);
			}
		},

		create(what, attributes, children) {
			if (!(attributes instanceof Object) || Array.isArray(attributes))
				[attributes, children] = [null, attributes];
			let node = what;
			if (Array.isArray(what)) {
				node = document.createDocumentFragment();
				what.forEach((each) => node.appendChild(this.create(each)));
			}
			else if (!this.elem(what))
				node = what.startsWith('<') ? this.parse(what) : document.createElement(what);
			if (attributes)
				this.attr(node, attributes);
			this.append(node, children);
			return node;
		},

		parent: (node, selector) => node.closest(selector),

		matches: (node, selector) => dom.elem(node) && node.matches(selector),

		isEmpty: (node) => !node || !node.children || node.children.length == 0,

		/* The object that a node belongs to. */
		bindClassInstance: (node, instance) => (node.instanceOfLuCI = instance),

		findClassInstance(node) {
			while (node && !node.instanceOfLuCI)
				node = node.parentNode;
			return node ? node.instanceOfLuCI : null;
		},

		callClassMethod(node, name, ...args) {
			return this.findClassInstance(node)?.[name]?.(...args);
		}
	}))();

	/* Once a second what is due; one that still runs is not called again. */
	const poll = new (Base.extend({
		queue: [],

		add(fn, interval) {
			if (this.queue.some((each) => each.fn === fn))
				return false;
			this.queue.push({ fn, ready: true, interval: (interval || L.env.pollinterval) >>> 0 });
			if (this.tick != null && !this.active())
				this.start();
			return true;
		},

		remove(fn) {
			const before = this.queue.length;
			this.queue.splice(0, before, ...this.queue.filter((each) => each.fn !== fn));
			if (!this.queue.length && this.stop())
				this.tick = 0;
			return this.queue.length != before;
		},

		start() {
			if (this.active())
				return false;
			this.tick = 0;
			if (this.queue.length) {
				this.timer = window.setInterval(() => this.step(), 1000);
				this.step();
			}
			return true;
		},

		stop() {
			if (!this.active())
				return false;
			window.clearInterval(this.timer);
			this.timer = this.tick = null;
			return true;
		},

		step() {
			for (const each of this.queue) {
				if (this.tick % each.interval || !each.ready)
					continue;
				each.ready = false;
				Promise.resolve(each.fn()).finally(() => { each.ready = true; });
			}
			this.tick++;
		},

		active() {
			return this.timer != null;
		}
	}))();

	const view = Base.extend({
		__init__() {
			const place = document.getElementById('view');
			dom.content(place, E('div', { 'class': 'spinning' }, _('Loading view…')));
			const ready = L.loaded ? null : new Promise((done) => document.addEventListener('luci-loaded', done, { once: true }));
			return Promise.resolve(ready)
				.then(() => this.load())
				.then((data) => this.render(data))
				.then((nodes) => {
					dom.content(place, nodes);
					dom.append(place, this.addFooter());
				})
				.catch((error) => L.error(error));
		},

		load() {},

		render() {},

		handleSave() {
			return this.everyMap('save');
		},

		handleSaveApply(ev, mode) {
			return this.handleSave(ev).then(() => classes.ui.changes.apply(mode == '0'));
		},

		handleReset() {
			return this.everyMap('reset');
		},

		everyMap(method) {
			const maps = document.querySelectorAll('#maincontent .cbi-map');
			return Promise.all(Array.from(maps).map((map) => dom.callClassMethod(map, method)));
		},

		addFooter() {
			const maps = Array.from(document.querySelectorAll('#view .cbi-map')).map((map) => dom.findClassInstance(map));
			const readonly = maps.length ? maps.every((map) => map.readonly) : !L.hasViewPermission();
			const button = (kind, title, name, ...args) => this[name] ? E('button', {
				'class': 'cbi-button cbi-button-' + kind,
				'click': classes.ui.createHandlerFn(this, (ev) => this[name](ev, ...args)),
				'disabled': readonly || null
			}, [title]) : '';
			if (!this.handleSaveApply && !this.handleSave && !this.handleReset)
				return null;
			return E('div', { 'class': 'cbi-page-actions' }, [
				button('apply', _('Save & Apply'), 'handleSaveApply', '0'),
				button('save', _('Save'), 'handleSave'),
				button('reset', _('Reset'), 'handleReset')
			]);
		}
	});

	const request = new (Base.extend({
		get: (url) => fetch(url),

		post: (url, content, { timeout }) => fetch(url, {
			method: 'POST',
			body: JSON.stringify(content),
			signal: AbortSignal.timeout(timeout)
		})
	}))();

	const classes = { baseclass: Base, dom, poll, view, request };

	class LuCI {
		constructor(env) {
			this.env = env;
			this.loaded = false;
			this.dom = dom;
			window.L = this;
			this.begin().catch((error) => this.error(error));
		}

		async begin() {
			if (this.env.login)
				return this.require('login');
			for (const name of ['ui', 'rpc', 'uci', 'form'])
				await this.require(name);
			classes.rpc.addInterceptor(this.expired.bind(this));
			await this.require(this.env.view, true);
			poll.start();
			this.loaded = true;
			document.dispatchEvent(new CustomEvent('luci-loaded'));
		}

		/* "Access denied" is also what an unknown session gets: ask which of the two it is. */
		expired(message, asked) {
			if (message?.error?.code != -32002 || (asked.object == 'session' && asked.method == 'access'))
				return null;
			return classes.rpc.declare({
				object: 'session',
				method: 'access',
				params: ['scope', 'object', 'function'],
				expect: { access: true }
			})('uci', 'luci', 'read').catch(() => {
				poll.stop();
				classes.ui.showModal(_('Session expired'), [
					E('div', { 'class': 'alert-message warning' },
						_('A new login is required since the authentication session expired.')),
					E('div', { 'class': 'btn primary', 'click': () => { window.location.reload(); } }, _('Log in…'))
				]);
				this.raise('SessionError', 'Login session is expired');
			});
		}

		require(name) {
			classes[name] ??= this.compile(name);
			return Promise.resolve(classes[name]);
		}

		async compile(name) {
			const url = this.env.base_url + '/' + name.replaceAll('.', '/') + '.js';
			const reply = await request.get(url);
			if (!reply.ok)
				this.raise('NetworkError', 'HTTP error %d while loading class file "%s"', reply.status, url);
			const source = await reply.text();
			const names = [];
			for (const [, path, as] of source.matchAll(/^'require (\S+?)(?: as (\w+))?';$/gm))
				names.push([path, as ?? path.replace(/\W/g, '_')]);
			const loaded = await Promise.all(names.map(([path]) => this.require(path)));
			const factory = new Function('window', 'document', 'L', ...names.map(([, as]) => as), source + '\n//# sourceURL=' + url);
			const made = factory(window, document, this, ...loaded);
			if (!Base.isSubclass(made))
				this.raise('TypeError', '"%s" factory yields invalid constructor', name);
			return (classes[name] = new made());
		}

		raise(kind, text, ...args) {
			if (kind instanceof Error)
				throw kind;
			const error = new Error(text.format(...args));
			error.name = kind;
			error.message += '\n  at raise (luci.js)'; /* LuCI puts the stack into the message */
			throw error;
		}

		error(kind, text, ...args) {
			try {
				this.raise(kind, text, ...args);
			}
			catch (error) {
				if (!error.reported) {
					if (classes.ui?.addNotification)
						classes.ui.addNotification(error.name || _('Runtime error'), E('pre', {}, error.message), 'danger');
					else
						dom.content(document.querySelector('#maincontent'), E('pre', {}, [error.message]));
					error.reported = true;
				}
				throw error;
			}
		}

		hasViewPermission() {
			return this.env.nodespec?.satisfied ? !this.env.nodespec.readonly : null;
		}

		isObject(value) {
			return value != null && typeof(value) == 'object';
		}

		toArray(value) {
			if (value == null)
				return [];
			if (Array.isArray(value))
				return value;
			return typeof(value) == 'object' ? [value] : String(value).trim().split(/\s+/).filter((each) => each);
		}

		sortedKeys(object, key) {
			return Object.keys(object ?? {}).sort((a, b) => this.naturalCompare(key ? object[a][key] : a, key ? object[b][key] : b));
		}

		naturalCompare(a, b) {
			return String(a).localeCompare(String(b), undefined, { numeric: true });
		}

		resolveDefault(value, otherwise) {
			return Promise.resolve(value).catch(() => otherwise);
		}

		bind(fn, self, ...args) {
			return fn.bind(self, ...args);
		}

		url(...parts) {
			return [this.env.scriptname, ...parts].join('/');
		}

		resource(...parts) {
			return [this.env.resource, ...parts].join('/');
		}
	}

	LuCI.prototype.Poll = poll;
	LuCI.prototype.Class = Base;
	LuCI.prototype.view = view;
	window.E = (...args) => dom.create(...args);
	window._ = (text) => text;
	window.N_ = (count, one, many) => count == 1 ? one : many;
	return LuCI;
})();
