'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require viscum.agent as agent';
'require viscum.chart as chart';

/*
 * Status > Viscum: what each service does now.
 *
 * The table is made once and its cells are changed where they differ, so nothing flickers and a button stays where it
 * is. All that comes from the agent becomes text nodes, never HTML.
 *
 * What the page costs the agent: one `status` every two seconds; `logs` only while that part is open; `doctor` and
 * `explain` only when asked for. A tab in the background asks nothing, and with the page LuCI's poll goes too.
 */

const EVERY = 2; /* seconds */
const LOGS_EVERY = 2; /* polls */
const SILENCE = 5; /* seconds until the page says that no answer comes */
const SETTLES = 15; /* seconds that a button waits for what it began */

/*
 * Nothing scrolls sideways, and nothing moves when a figure gets another width: a cell is as wide as its place allows,
 * never as its content asks for (fixed bases of flex items, columns of `table-layout: fixed`), and a figure has the width
 * of the widest. In which of three ways services are laid out depends on the room that the theme leaves (`@container`),
 * not on the screen: bootstrap takes at most 940 pixels of that, or 1180, others all. A browser that knows no `@container`
 * (before 2023) shows the first. What a theme does to tables on phones is undone: it can't know which cells are short.
 *
 * The message of trouble is the last thing on the page, and sticks to the edge of the screen: it comes and goes as
 * answers do, and would push buttons down.
 */
const STYLE = [
	'.viscum-curve { display: block; width: 100%; max-width: 20em }',
	'.viscum-minor { font-size: 90% }',
	/* Not links: their colours have just enough contrast. */
	'.viscum-minor > span { opacity: .8 }',
	'.viscum-stale :is([data-name], .viscum-curve) { filter: grayscale(1); opacity: .75 }',
	'.viscum-stale .viscum-figure > span { opacity: 1 }',
	'.viscum-actions { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .25em; max-width: 32em }',
	'.viscum-actions > .btn { margin: 0; padding: 0 .25em; white-space: normal; word-break: normal }',
	'.viscum-actions > .spinning { white-space: nowrap; overflow: hidden }',
	'.viscum-actions > a { grid-column: 1 / -1 }',
	/* Themes give buttons a display of their own, which would win over `hidden`. */
	'.viscum-actions > [hidden] { display: none }',
	'[data-init][hidden] { display: inline-block; visibility: hidden }',
	'.viscum-lines { white-space: pre-line }',
	'.viscum-number { font-variant-numeric: tabular-nums }',
	/* A second line of words stays clear of the figure. */
	'.viscum-figure { padding-left: 8ch; text-indent: -8ch }',
	'.viscum-figure > .viscum-number { display: inline-block; min-width: 7.5ch; text-indent: 0 }',
	'.viscum-parts { display: flex; flex-wrap: wrap; gap: .25em 1.5em }',
	'.viscum-parts > div { flex: 1 1 9em }',
	'.viscum-log, .viscum-fix { overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }',
	'.viscum-fix { max-height: 24em }',
	/* What is below it must not go down with every line. */
	'.viscum-log { height: 24em }',
	'.viscum-panel, .viscum-trouble, .viscum-words { overflow-wrap: anywhere }',
	'.viscum-panel > summary { cursor: pointer; font-size: 120%; margin: .5em 0 }',
	'.viscum-panel select { max-width: 100% }',
	'#viscum-packet { box-sizing: border-box; width: 100%; max-width: 60em }',
	'.viscum-trouble { position: sticky; bottom: .5em; z-index: 1 }',

	'.viscum-room { container-type: inline-size }',
	'#viscum-services { display: block; width: 100%; border-collapse: collapse }',
	'#viscum-services > .tr { display: flex; flex-wrap: wrap; margin: 0; padding: .5em 0;',
	'border-top: 1px solid var(--border-color-medium, #8886) }',
	'#viscum-services > .table-titles, #viscum-services .viscum-none { display: none }',
	'#viscum-services :is(.th, .td) { display: block; box-sizing: border-box; flex: 1 1 100%; border: none;',
	'overflow: visible; overflow-wrap: anywhere; padding: .25em .4em; text-align: left; vertical-align: top }',
	'#viscum-services :is(.viscum-service, .viscum-program) { flex-basis: 45% }',
	'#viscum-services :is(.viscum-condition, .viscum-takes) { flex-basis: 55% }',
	'#viscum-services .td::before { content: none; display: block; font-size: 90%; font-weight: bold }',
	'#viscum-services .viscum-figures::before { content: attr(data-title) }',
	'#viscum-services > .placeholder { height: auto }',
	'#viscum-services > .placeholder > .td { position: static; text-align: center; line-height: inherit }',

	'@container (min-width: 480px) { .viscum-actions { grid-template-columns: repeat(4, minmax(0, 1fr)) } }',

	'@container (min-width: 700px) {',
	'#viscum-services .viscum-service { flex-basis: 22% }',
	'#viscum-services .viscum-condition { flex-basis: 26% }',
	'#viscum-services .viscum-buttons { flex-basis: 52% }',
	'#viscum-services .viscum-takes { flex-basis: 28% }',
	'#viscum-services .viscum-program { flex-basis: 20% }',
	'#viscum-services :is(.viscum-traffic, .viscum-worth) { flex-basis: 26% }',
	/* The next line in sight; who goes by keys finds nothing there. */
	'#viscum-services .viscum-figures { order: 1 }',
	'}',

	'@container (min-width: 1100px) {',
	'#viscum-services { display: table; table-layout: fixed }',
	'#viscum-services > .tr { display: table-row }',
	'#viscum-services :is(.th, .td) { display: table-cell; padding: .75em }',
	'#viscum-services .viscum-figures::before { content: none }',
	'#viscum-services .viscum-none > * { display: none }',
	'#viscum-services .viscum-none::after { content: "-" }',
	'#viscum-services :is(.viscum-service, .viscum-condition, .viscum-program) { width: 11.5% }',
	'#viscum-services .viscum-buttons { width: 15.5em }',
	'.viscum-actions { grid-template-columns: repeat(2, minmax(0, 1fr)) }',
	'}',

	/* Where no service has such figures, there is no place for them. */
	'#viscum-services:not(.viscum-valued) .viscum-worth { display: none }'
].join('\n');

const SEVERITIES = {
	error: { word: _('Error'), mood: 'bad' },
	warning: { word: _('Warning'), mood: 'fair' },
	note: { word: _('Note'), mood: 'busy' },
	ok: { word: _('In order'), mood: 'good' }
};

/* A text that can be changed. Nothing is touched where it stays the same. */
function Text(name, classes) {
	this.node = E('span', { 'data-name': name || null, 'class': classes || null }, [ '' ]);
}

Text.prototype.set = function(text) {
	if (this.node.textContent !== String(text))
		this.node.textContent = text;
};

/* A line with a figure, which takes the place of %s or %d in a sentence. */
function Figure(name) {
	this.parts = [ new Text(), new Text(null, 'viscum-number'), new Text() ];
	this.node = E('div', { 'class': 'viscum-figure viscum-minor', 'data-name': name },
		this.parts.map((part) => part.node));
}

Figure.prototype.set = function(sentence, figure) {
	const [ before, after ] = sentence.split(/%[sd]/);

	[ before, figure, after || '' ].forEach((text, i) => this.parts[i].set(text));
};

/* What may be unknown: its line keeps its place, and is seen from when it is known first. */
Figure.prototype.setKnown = function(sentence, figure) {
	this.known = this.known || figure != null;
	this.node.style.visibility = this.known ? '' : 'hidden';
	this.set(sentence, figure == null ? '-' : figure);
};

function toForm(title) {
	return E('a', { 'href': L.url('admin/services/viscum') }, [ title ]);
}

function duration(seconds) {
	const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
	const minutes = Math.floor(seconds / 60) % 60;

	if (days)
		return '%dd %dh'.format(days, hours);
	if (hours)
		return '%dh %dm'.format(hours, minutes);
	return minutes ? '%dm %ds'.format(minutes, seconds % 60) : '%ds'.format(seconds);
}

function volume(bytes) {
	const units = [ 'B', 'KiB', 'MiB', 'GiB', 'TiB' ];
	let i = 0;

	for (; bytes >= 1024 && i < units.length - 1; i++)
		bytes /= 1024;
	return '%s %s'.format(i && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes), units[i]);
}

/* A round trip, of microseconds. */
function trip(time) {
	const ms = time / 1000;

	return '%s ms'.format(ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms));
}

/* The cells of a service in their order; those of `viscum-figures` have their title above them where there is no table. */
const COLUMNS = {
	service: { title: _('Service'), classes: 'viscum-service' },
	condition: { title: _('State'), classes: 'viscum-condition' },
	takes: { title: _('Takes over'), classes: 'viscum-takes viscum-figures' },
	program: { title: _('Program'), classes: 'viscum-program viscum-figures' },
	traffic: { title: _('Traffic'), classes: 'viscum-traffic viscum-figures' },
	worth: { title: _('Worth'), classes: 'viscum-worth viscum-figures' },
	buttons: { title: null, classes: 'viscum-buttons' }
};

/* The agent shortens long lists where all services are asked for, and says how many they hold. */
function listed(row, key) {
	const items = row[key] || [], count = row[key + '_count'];

	return items.concat(count > items.length ? [ '(%d)'.format(count) ] : []).join(', ');
}

/* What a service takes over, as few lines: protocols that share the rest of a match are in one, and a single address
 * needs no length. The agent writes `tcp 203.0.113.10/32 port 80`. */
function matches(row) {
	const found = new Map();

	for (const match of row.takes || []) {
		const [ proto, ...rest ] = match.replace(/([0-9]\.[0-9]+)\/32\b|(:[0-9a-f]*)\/128\b/g, '$1$2').split(' ');
		found.set(rest.join(' '), (found.get(rest.join(' ')) || []).concat([ proto ]));
	}
	const lines = [ ...found ].map(([ rest, protos ]) => '%s %s'.format(protos.join('+'), rest));

	const all = row.takes_count > (row.takes || []).length ? [ _('%d in all').format(row.takes_count) ] : [];

	return lines.concat(all).join('\n');
}

/* What stays with the cloud although it is configured, and why. */
function left(row) {
	return (row.stays || []).length ? _('Not taken: %s').format(listed(row, 'stays')) : '';
}

/* One service: a row of the table that is made once. */
function Row(name, page) {
	this.name = name;
	this.page = page;
	this.curve = chart.curve();
	this.trips = chart.gauge(trip);
	this.texts = {};
	this.buttons = {};
	this.toForm = toForm(_('Enable in the configuration'));
	this.toForm.dataset.action = 'enable';
	this.worth = this.cell('worth', [ E('div', { 'class': 'viscum-parts' }, [
		E('div', {}, [ this.figure('kept'), this.figure('bypassed'), this.figure('requests') ]),
		E('div', {}, [ this.figure('rtt'), this.trips.node, this.figure('cloud_rtt') ])
	]) ]);
	this.node = E('tr', { 'class': 'tr', 'data-service': name }, [
		this.cell('service', [
			E('strong', {}, [ name ]),
			E('div', { 'class': 'viscum-minor' }, [
				E('a', { 'href': '#', 'data-action': 'log', 'click': (event) => page.showLog(event, name) }, [ _('Log') ])
			])
		]),
		this.cell('condition', [ this.text('state', 'viscum-state'), this.minor('reason') ]),
		this.cell('takes', [ this.text('takes', 'viscum-lines'), this.minor('stays'), this.from() ]),
		this.cell('program', [ this.text('uptime', 'viscum-number'), this.figure('restarts'), this.figure('memory') ]),
		this.cell('traffic', [ E('div', { 'class': 'viscum-parts' }, [
			E('div', {}, [ this.text('rate', 'viscum-number'), this.curve.node, this.figure('connections') ]),
			E('div', {}, [ this.figure('bytes'), this.figure('sent'), this.figure('packets') ])
		]) ]),
		this.worth,
		this.cell('buttons', [ E('div', { 'class': 'viscum-actions' }, this.actions()) ])
	]);
}

Row.prototype = {
	cell: function(key, children) {
		return E('td', { 'class': 'td ' + COLUMNS[key].classes, 'data-title': COLUMNS[key].title }, children);
	},

	text: function(name, classes) {
		this.texts[name] = new Text(name, classes);
		return this.texts[name].node;
	},

	minor: function(name) {
		return E('div', { 'class': 'viscum-minor' }, [ this.text(name) ]);
	},

	figure: function(name) {
		this.texts[name] = new Figure(name);
		return this.texts[name].node;
	},

	/* Where its traffic comes from, and by which datapath. */
	from: function() {
		return E('div', { 'class': 'viscum-minor' }, [
			E('span', {}, [ _('From') ]), ' ', this.text('interfaces'), ' ', this.text('devices'),
			E('br'), E('span', {}, [ _('Datapath') ]), ' ', this.text('datapath')
		]);
	},

	actions: function() {
		if (!this.page.mayAct)
			return [];
		return [
			this.button('start', _('Start'), 'positive', () => agent.order('start', this.name)),
			this.button('stop', _('Stop'), 'negative', () => agent.order('stop', this.name)),
			this.button('restart', _('Restart'), 'action', () => agent.order('restart', this.name)),
			this.button('bypass', _('Bypass'), 'neutral', () => agent.bypass(this.name, !this.data.bypass)),
			this.toForm
		];
	},

	/* LuCI shows a spinner on the button until the promise is settled. */
	button: function(verb, title, kind, act) {
		const node = E('button', {
			'class': 'btn cbi-button cbi-button-' + kind,
			'data-action': verb,
			'click': ui.createHandlerFn(this, function() {
				return act().then(() => this.page.settle(this.name)).catch((error) => {
					ui.addNotification(null, E('p', { 'class': 'viscum-words' }, [
						'%s: %s: %s'.format(this.name, title, error.message)
					]), 'danger');
				}).then(() => {
					/* Behind LuCI, which takes the spinner away and enables the button. */
					window.setTimeout(() => this.offer(this.data));
				});
			})
		}, [ title ]);

		this.buttons[verb] = node;
		return node;
	},

	update: function(data, now) {
		const state = agent.states[data.state] || { word: data.state, mood: 'off' };
		const set = (name, text) => this.texts[name].set(text);

		this.data = data;
		set('state', state.word);
		this.mood(state.mood);
		set('reason', data.reason || '');
		set('takes', matches(data));
		set('stays', left(data));
		const interfaces = (data.interfaces || []).join(', '), devices = listed(data, 'from');

		set('interfaces', interfaces);
		set('devices', devices === interfaces ? '' : devices);
		set('datapath', data.datapath || '-');
		set('uptime', data.pid ? duration(data.uptime) : '-');
		this.texts.restarts.set(N_(data.restarts, '%d restart', '%d restarts'), data.restarts || 0);
		this.texts.memory.set(data.memory ? _('%s of memory') : '', data.memory ? volume(data.memory) : '');
		this.texts.bytes.set(_('%s in'), volume(data.bytes));
		this.texts.sent.set(_('%s out'), volume(data.sent_bytes || 0));
		this.texts.packets.set(N_(data.packets, '%d packet', '%d packets'), data.packets);
		this.texts.connections.set(N_(data.connections, '%d connection', '%d connections'), data.connections);
		set('rate', chart.rate(this.curve.add(data.bytes, now)));
		this.value(data.worth, now);
		this.offer(data);
	},

	/* What the edge is worth: { rtt, cloud_rtt (both in microseconds), kept_bytes, requests, bypass_seconds }, of which the
	 * first two and `requests` may be null. Without the package viscum-worth there is none. */
	value: function(worth, now) {
		const { rtt, cloud_rtt: cloud, kept, requests, bypassed } = this.texts;

		this.worth.classList.toggle('viscum-none', !worth);
		if (!worth)
			return;
		rtt.setKnown(_('%s here'), worth.rtt == null ? null : trip(worth.rtt));
		cloud.setKnown(_('%s to the cloud'), worth.cloud_rtt == null ? null : trip(worth.cloud_rtt));
		this.trips.node.style.visibility = rtt.known ? '' : 'hidden';
		if (worth.rtt != null)
			this.trips.put(worth.rtt, now, worth.cloud_rtt);
		kept.set(_('%s kept off the uplink'), volume(worth.kept_bytes || 0));
		requests.setKnown(N_(worth.requests, '%d request', '%d requests'), worth.requests);
		bypassed.set(_('%s with the cloud'), duration(worth.bypass_seconds || 0));
	},

	mood: function(mood) {
		const classes = 'viscum-state viscum-' + mood;

		if (this.texts.state.node.className !== classes)
			this.texts.state.node.className = classes;
	},

	/* Only what can be done now can be pressed; a button that is at work stays with its spinner. */
	offer: function(data) {
		const off = [ 'stopped', 'failed', 'backoff' ].includes(data.state);

		/* Who is disabled in the configuration can be enabled only there. */
		for (const verb in this.buttons)
			this.buttons[verb].hidden = data.state === 'disabled';
		this.toForm.hidden = data.state !== 'disabled';
		this.enable('start', off);
		this.enable('restart', data.pid > 0);
		this.enable('stop', data.state !== 'stopped' && data.state !== 'stopping');
		this.enable('bypass', data.bypass || data.pid > 0);
		if (this.buttons.bypass && !this.buttons.bypass.classList.contains('spinning'))
			this.buttons.bypass.textContent = data.bypass ? _('End bypass') : _('Bypass');
	},

	enable: function(verb, on) {
		const node = this.buttons[verb];

		if (node && !node.classList.contains('spinning') && node.disabled === on)
			node.disabled = !on;
	}
};

return view.extend({
	load: function() {
		return this.ask();
	},

	/* The services, or the failure: the page is shown in both cases. What takes long is said before it ends: rpc waits 20
	 * seconds. */
	ask: function() {
		const slow = window.setTimeout(() => this.say(agent.silence()), 1000 * SILENCE);

		return agent.status().catch((error) => error.kind === 'gone' && L.hasViewPermission() !== false
			? agent.absence(error) : error).finally(() => window.clearTimeout(slow));
	},

	render: function(answer) {
		this.mayAct = L.hasViewPermission() !== false;
		this.rows = new Map();
		this.polls = 0;
		this.trouble = E('div', { 'class': 'alert-message warning viscum-trouble', 'role': 'status',
			'style': 'display: none' });
		this.empty = E('tr', { 'class': 'tr placeholder' }, [ E('td', { 'class': 'td' }, [
			E('em', {}, [ _('There are no services. They are added in Services > Viscum.') ])
		]) ]);
		this.table = this.renderTable();
		const page = E([], [
			E('style', {}, [ agent.style + '\n' + STYLE ]),
			E('h2', {}, [ _('Viscum') ]),
			E('div', { 'class': 'cbi-section viscum-room' }, [ this.table ]),
			this.renderLog(),
			this.renderExplain(),
			this.renderDoctor(),
			this.renderAgent(),
			this.trouble
		]);
		this.show(answer);
		/* It may be called at once. */
		poll.add(() => document.hidden ? Promise.resolve() : this.refresh(), EVERY);
		return page;
	},

	renderTable: function() {
		return E('table', { 'class': 'table', 'id': 'viscum-services' }, [
			E('tr', { 'class': 'tr table-titles' }, Object.values(COLUMNS).map((column) =>
				E('th', { 'class': 'th ' + column.classes }, [ column.title || '' ])))
		]);
	},

	refresh: function() {
		this.polls++;
		return Promise.all([
			this.ask().then((answer) => this.show(answer)),
			this.log.open && this.polls % LOGS_EVERY === 0 ? this.refreshLog() : null
		]);
	},

	show: function(answer) {
		const failed = answer instanceof Error;

		this.say(failed ? answer : null);
		this.halt.hidden = failed || !this.mayAct;
		if (failed)
			return;
		this.agent.textContent = _('Viscum %s, the agent has run for %s.').format(answer.version, duration(answer.uptime || 0));
		this.offerLogs(Object.keys(answer.services));
		const now = Date.now() / 1000;
		this.table.classList.toggle('viscum-valued', Object.values(answer.services).some((row) => row.worth));
		for (const name of [ ...this.rows.keys() ].filter((known) => !(known in answer.services)))
			this.remove(name);
		let before = this.table.firstElementChild;
		for (const name of Object.keys(answer.services).sort()) {
			const row = this.rows.get(name) || this.add(name);
			if (before.nextElementSibling !== row.node)
				before.after(row.node);
			before = row.node;
			row.update(answer.services[name], now);
		}
		if (this.rows.size === 0)
			this.table.append(this.empty);
		else
			this.empty.remove();
	},

	add: function(name) {
		const row = new Row(name, this);

		this.rows.set(name, row);
		return row;
	},

	remove: function(name) {
		this.rows.get(name).node.remove();
		this.rows.delete(name);
	},

	/* Says why what is shown is old; the next answer takes it back. */
	say: function(error) {
		if (!this.trouble)
			return;
		this.table.classList.toggle('viscum-stale', error != null);
		this.trouble.style.display = error ? '' : 'none';
		if (error == null || this.said === error.message)
			return;
		this.said = error.message;
		this.trouble.dataset.kind = error.kind;
		dom.content(this.trouble, [ error.message ]);
		if (error.kind === 'expired' || error.kind === 'denied')
			this.trouble.append(' ', E('button', { 'class': 'btn', 'click': () => window.location.reload() },
				[ _('Log in…') ]));
		if (error.kind === 'stopped')
			this.trouble.append(' ', this.renderInit('start', _('Start'), 'positive'));
		if (error.kind === 'idle')
			this.trouble.append(' ', toForm(_('Enable in the configuration')));
	},

	/* A button that starts or stops Viscum as a whole. */
	renderInit: function(verb, title, kind) {
		return E('button', {
			'class': 'btn cbi-button cbi-button-' + kind,
			'data-init': verb,
			'click': ui.createHandlerFn(this, function() {
				return agent.init(verb).catch((error) => {
					ui.addNotification(null, E('p', { 'class': 'viscum-words' }, [
						'%s: %s'.format(title, error.message)
					]), 'danger');
				}).then(() => this.refresh());
			})
		}, [ title ]);
	},

	/* Looks until a service has left the states in between, so that the button that began it shows it is at work. */
	settle: function(name, since) {
		const began = since || Date.now();

		return new Promise((done) => window.setTimeout(done, 400)).then(() => this.refresh()).then(() => {
			const row = this.rows.get(name);
			const busy = row && agent.states[row.data.state] && agent.states[row.data.state].mood === 'busy';
			return busy && Date.now() - began < 1000 * SETTLES ? this.settle(name, began) : null;
		});
	},

	renderLog: function() {
		this.lines = E('pre', { 'class': 'viscum-log', 'id': 'viscum-log' }, [ '' ]);
		this.whose = E('select', {
			'class': 'cbi-input-select',
			'id': 'viscum-whose',
			'aria-label': _('Whose log'),
			'change': () => this.refreshLog()
		}, [ E('option', { 'value': '' }, [ _('All of Viscum') ]) ]);
		this.log = E('details', {
			'class': 'cbi-section viscum-panel',
			'toggle': () => this.log.open ? this.refreshLog() : null
		}, [
			E('summary', {}, [ _('Log') ]),
			E('p', {}, [
				this.whose, ' ', _('With one service come the last lines that its program printed.')
			]),
			this.lines
		]);
		return this.log;
	},

	/* What a row's link leads to. */
	showLog: function(event, name) {
		event.preventDefault();
		this.whose.value = name;
		this.lines.textContent = '';
		if (this.log.open)
			this.refreshLog();
		else
			this.log.open = true;
		this.log.scrollIntoView();
	},

	/* Has the services to choose from; who was chosen stays chosen, even when it is gone. */
	offerLogs: function(names) {
		const chosen = this.whose.value;
		const wanted = [ '', ...new Set(names.concat(chosen || [])) ].sort();

		if (wanted.join(' ') === [ ...this.whose.options ].map((each) => each.value).join(' '))
			return;
		this.whose.replaceChildren(this.whose.options[0], ...wanted.slice(1).map((name) =>
			E('option', { 'value': name }, [ name ])));
		this.whose.value = chosen;
	},

	refreshLog: function() {
		const whose = this.whose.value;

		return agent.logs(whose).then((lines) => lines.map((line) => '%s  %s'.format(
			new Date(1000 * line.time).toLocaleString(), line.text)).reverse().join('\n') || _('Nothing was said yet.')
		).catch((error) => error.message).then((text) => {
			/* Another one may have been chosen meanwhile, and its answer be there. */
			if (whose === this.whose.value && this.lines.textContent !== text)
				this.lines.textContent = text;
		});
	},

	renderAgent: function() {
		this.agent = E('span', { 'data-name': 'agent' }, [ '' ]);
		this.halt = this.renderInit('stop', _('Stop Viscum'), 'negative');
		return E('p', { 'class': 'viscum-minor' }, [
			toForm(_('Configure services')), ' ', this.halt, E('br'), this.agent
		]);
	},

	/* Why a packet goes where it goes. */
	renderExplain: function() {
		const shown = 'dev br-lan tcp from 192.168.1.2 to 203.0.113.10 port 443';

		this.packet = E('input', {
			'class': 'cbi-input-text',
			'id': 'viscum-packet',
			'aria-label': _('Packet'),
			'placeholder': shown,
			'keydown': (event) => event.key === 'Enter' ? this.explain() : null
		});
		this.explanation = E('div', { 'id': 'viscum-explanation', 'role': 'status' });
		return E('details', { 'class': 'cbi-section viscum-panel' }, [
			E('summary', {}, [ _('Explain a packet') ]),
			E('p', {}, [ _('Which service takes it, and by which rule, or why none does. Type it as below, or paste a line of tcpdump -n or conntrack -L.') ]),
			E('p', {}, [ this.packet, ' ', E('button', {
				'class': 'btn cbi-button cbi-button-action',
				'data-action': 'explain',
				'click': ui.createHandlerFn(this, 'explain')
			}, [ _('Explain') ]) ]),
			this.explanation
		]);
	},

	explain: function() {
		return agent.explain(this.packet.value).then((found) => [
			E('div', {}, [ E('strong', {}, [ found.taken ? _('%s takes it').format(found.service) : _('No service takes it') ]) ]),
			found.taken ? E('div', {}, [ found.match ]) : '',
			found.taken ? E('pre', { 'class': 'viscum-fix' }, [ found.rule ]) : '',
			...(found.reasons || []).map((reason) => E('div', {}, [ reason ]))
		], (error) => [ E('p', { 'class': 'alert-message warning' }, [ error.message ]) ]).then((nodes) =>
			dom.content(this.explanation, nodes));
	},

	renderDoctor: function() {
		this.findings = E('div', { 'id': 'viscum-findings' });
		return E('details', { 'class': 'cbi-section viscum-panel' }, [
			E('summary', {}, [ _('Doctor') ]),
			E('p', {}, [ _('What on this router helps or hinders services, and the command that fixes it.') ]),
			E('button', {
				'class': 'btn cbi-button cbi-button-action',
				'data-action': 'doctor',
				'click': ui.createHandlerFn(this, 'examine')
			}, [ _('Examine') ]),
			this.findings
		]);
	},

	examine: function() {
		return agent.doctor().then(
			(findings) => dom.content(this.findings, findings.map((each) => this.renderFinding(each))),
			(error) => dom.content(this.findings, [ E('p', { 'class': 'alert-message warning' }, [ error.message ]) ])
		);
	},

	renderFinding: function(finding) {
		const severity = SEVERITIES[finding.severity] || { word: finding.severity, mood: 'off' };
		const means = [ (finding.services || []).join(', '), finding.means ].filter((text) => text).join(': ');

		return E('div', { 'class': 'viscum-finding', 'data-finding': finding.id, 'style': 'margin: .75em 0' }, [
			E('div', {}, [
				E('span', { 'class': 'viscum-state viscum-' + severity.mood }, [ severity.word ]),
				' ', E('strong', {}, [ finding.id ]), ' ', E('span', {}, [ finding.found ])
			]),
			means ? E('div', {}, [ means ]) : '',
			finding.fix ? E('pre', { 'class': 'viscum-fix' }, [ finding.fix ]) : ''
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
