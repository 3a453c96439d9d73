'use strict';
'require view';
'require poll';
'require rpc';
'require ui';
'require viscum.agent as agent';
'require viscum.chart as chart';

/*
 * Status > Viscum services: what a tenant has on somebody else's router, and nothing else of that router.
 *
 * It asks the session which objects it was granted, and then only those: `viscum.tenant.NAME` and `viscum.NAME_...`.
 * Whatever this page does, rpcd and the agent decide what a session may. All that comes from the agent becomes text
 * nodes, never HTML.
 */

const EVERY = 2; /* seconds */
const OBJECT = 'viscum.', TENANT = 'viscum.tenant.';
const LINES = 50;

const STYLE = [
	'.viscum-curve { display: block; min-width: 7em; max-width: 100% }',
	'.viscum-stale { opacity: .5 }',
	'.viscum-minor { opacity: .75; font-size: 90%; overflow-wrap: anywhere }',
	'.viscum-actions { display: flex; flex-wrap: wrap; gap: .25em }',
	'.viscum-actions > [hidden] { display: none }',
	'.viscum-log { max-height: 24em; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }',
	'.viscum-text { width: 100%; font-family: monospace }'
].join('\n');

const callAccess = rpc.declare({ object: 'session', method: 'access' });

function set(node, text) {
	if (node.textContent !== String(text))
		node.textContent = text;
}

/* One service: a row that is made once. */
function Row(name, tenant) {
	this.name = name;
	this.tenant = tenant;
	this.curve = chart.curve();
	this.parts = {};
	for (const part of [ 'state', 'reason', 'takes', 'stays', 'bytes', 'memory', 'connections', 'rate' ])
		this.parts[part] = E('span', { 'data-name': part }, [ '' ]);
	const minor = (part) => E('div', { 'class': 'viscum-minor' }, [ this.parts[part] ]);
	this.buttons = {};
	this.node = E('tr', { 'class': 'tr', 'data-service': name }, [
		this.cell(_('Service'), [ E('strong', {}, [ name ]), E('div', { 'class': 'viscum-minor' }, [
			E('a', { 'href': '#', 'data-action': 'log', 'click': (event) => tenant.showLog(event, name) }, [ _('Log') ])
		]) ]),
		this.cell(_('State'), [ this.parts.state, minor('reason') ]),
		this.cell(_('Takes over'), [ this.parts.takes, minor('stays') ]),
		this.cell(_('Program'), [ this.parts.memory ]),
		this.cell(_('Traffic'), [ this.parts.bytes ]),
		this.cell(_('Connections'), [ this.parts.connections ]),
		this.cell(_('Throughput'), [ this.parts.rate, this.curve.node ]),
		E('td', { 'class': 'td viscum-buttons' }, [ E('div', { 'class': 'viscum-actions' }, tenant.mayAct ? [
			this.button('start', _('Start'), 'positive'),
			this.button('stop', _('Stop'), 'negative'),
			this.button('restart', _('Restart'), 'action'),
			this.button('bypass', _('Bypass'), 'neutral', () => ({ on: !this.data.bypass }))
		] : []) ])
	]);
}

Row.prototype = {
	cell: function(title, children) {
		return E('td', { 'class': 'td', 'data-title': title }, children);
	},

	button: function(verb, title, kind, args) {
		const act = () => agent.of(OBJECT + this.name, verb, args ? args() : {});

		this.buttons[verb] = E('button', {
			'class': 'btn cbi-button cbi-button-' + kind,
			'data-action': verb,
			'click': ui.createHandlerFn(this, () => act().then(() => this.tenant.refresh()).catch((error) =>
				ui.addNotification(null, E('p', {}, [ '%s: %s: %s'.format(this.name, title, error.message) ]), 'danger')))
		}, [ title ]);
		return this.buttons[verb];
	},

	update: function(data, now) {
		const state = agent.states[data.state] || { word: data.state, mood: 'off' };

		this.data = data;
		set(this.parts.state, state.word);
		this.parts.state.className = 'viscum-state viscum-' + state.mood;
		set(this.parts.reason, data.reason || '');
		set(this.parts.takes, (data.takes || []).join(', '));
		set(this.parts.stays, (data.stays || []).length ? _('Not taken: %s').format(data.stays.join(', ')) : '');
		set(this.parts.memory, data.memory ? _('%1024.1mB of memory').format(data.memory) : '-');
		set(this.parts.bytes, _('%1024.1mB in, %1024.1mB out').format(data.bytes, data.sent_bytes || 0));
		set(this.parts.connections, data.connections || 0);
		set(this.parts.rate, chart.rate(this.curve.add(data.bytes, now)));
		for (const verb in this.buttons)
			this.buttons[verb].hidden = data.state === 'disabled';
		if (this.buttons.bypass && !this.buttons.bypass.classList.contains('spinning'))
			set(this.buttons.bypass, data.bypass ? _('End bypass') : _('Bypass'));
	}
};

/* All of one tenant. */
function Tenant(name, mayAct) {
	this.name = name;
	this.mayAct = mayAct;
	this.rows = new Map();
	this.trouble = E('div', { 'class': 'alert-message warning', 'role': 'status', 'style': 'display: none' });
	const titles = [ _('Service'), _('State'), _('Takes over'), _('Program'), _('Traffic'), _('Connections'),
		_('Throughput'), '' ];
	this.table = E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th' }, [ title ])))
	]);
	this.logged = E('pre', { 'class': 'viscum-log', 'hidden': '' }, [ '' ]);
	this.text = E('textarea', { 'class': 'cbi-input-textarea viscum-text', 'rows': 16, 'spellcheck': 'false',
		'readonly': mayAct ? null : '' }, [ '' ]);
	this.verdict = E('div', { 'class': 'viscum-verdict', 'role': 'status' }, [ '' ]);
	this.bounds = E('div', { 'class': 'viscum-minor' }, [ '' ]);
	this.node = E('div', { 'class': 'cbi-section', 'data-tenant': name }, [
		E('h3', {}, [ name ]), this.trouble, this.table, this.logged,
		E('h4', {}, [ _('Configuration') ]), this.bounds, this.text, this.verdict,
		E('div', { 'class': 'viscum-actions' }, [
			this.button('check', _('Check'), 'neutral', () => this.check()),
			mayAct ? this.button('configure', _('Apply'), 'apply', () => this.configure()) : ''
		])
	]);
}

Tenant.prototype = {
	ask: function(method, args) {
		return agent.of(TENANT + this.name, method, args);
	},

	button: function(verb, title, kind, act) {
		return E('button', {
			'class': 'btn cbi-button cbi-button-' + kind,
			'data-action': verb,
			'click': ui.createHandlerFn(this, () => act().catch((error) => this.judge([ error.message ])))
		}, [ title ]);
	},

	judge: function(problems, good) {
		this.verdict.className = 'viscum-verdict ' + (problems.length ? 'alert-message warning' : '');
		set(this.verdict, problems.length ? problems.join('\n') : good);
	},

	check: function() {
		return this.ask('check', { config: this.text.value }).then((answer) =>
			this.judge(answer.problems || [], _('Nothing is wrong with it.')));
	},

	configure: function() {
		return this.ask('configure', { config: this.text.value }).then(() => {
			this.judge([], _('It is in force.'));
			return Promise.all([ this.read(), this.refresh() ]);
		});
	},

	/* What he may have, and what he has configured. */
	read: function() {
		return Promise.all([ this.ask('list'), this.ask('config') ]).then(([ listed, written ]) => {
			const bounds = Object.entries(listed.bounds || {});

			set(this.bounds, _('Bounds: %s').format(bounds.map(([ name, value ]) =>
				'%s %s'.format(name, [].concat(value).join(' '))).join('; ')));
			this.text.value = written.config || '';
		}).catch((error) => this.say(error));
	},

	refresh: function() {
		return this.ask('status').then((answer) => this.show(answer.services || {})).catch((error) => this.say(error));
	},

	say: function(error) {
		this.trouble.style.display = error ? '' : 'none';
		this.table.classList.toggle('viscum-stale', error != null);
		set(this.trouble, error ? error.message : '');
	},

	show: function(services) {
		const now = Date.now() / 1000;

		this.say(null);
		for (const name of [ ...this.rows.keys() ].filter((known) => !(known in services))) {
			this.rows.get(name).node.remove();
			this.rows.delete(name);
		}
		for (const name of Object.keys(services).sort()) {
			if (!this.rows.has(name)) {
				this.rows.set(name, new Row(name, this));
				this.table.append(this.rows.get(name).node);
			}
			this.rows.get(name).update(services[name], now);
		}
	},

	showLog: function(event, name) {
		event.preventDefault();
		return agent.of(OBJECT + name, 'logs', { lines: LINES }).then((answer) => {
			this.logged.hidden = false;
			set(this.logged, (answer.lines || []).map((line) => line.text).join('\n') || _('No lines yet.'));
		}).catch((error) => this.say(error));
	}
};

return view.extend({
	load: function() {
		return L.resolveDefault(callAccess(), {});
	},

	render: function(granted) {
		const objects = (granted || {}).ubus || {};
		const tenants = Object.keys(objects).filter((name) => name.startsWith(TENANT)).sort().map((name) =>
			new Tenant(name.substring(TENANT.length), objects[name].includes('configure')));
		const none = E('p', {}, [ E('em', {}, [ _('This account has no services of its own.') ]) ]);
		const refresh = () => Promise.all(tenants.map((tenant) => tenant.refresh()));

		for (const tenant of tenants)
			tenant.read();
		poll.add(() => document.hidden ? Promise.resolve() : refresh(), EVERY);
		return E([], [
			E('style', {}, [ agent.style + '\n' + STYLE ]),
			E('h2', {}, [ _('Viscum services') ])
		].concat(tenants.length ? tenants.map((tenant) => tenant.node) : [ none ]));
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
