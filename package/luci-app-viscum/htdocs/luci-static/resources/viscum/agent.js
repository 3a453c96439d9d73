'use strict';
'require baseclass';
'require rpc';

/*
 * The agent as the pages ask it: the ubus object `viscum`, and what its failures mean in words.
 *
 * Why a call failed has to be known in full, so rpc's own `reject` and `expect` are not used: a refusal comes with a
 * message of the agent, which `reject` would replace by the name of a status code.
 */

/* Of a status answer's pages; each has 200 services. */
const MOST_PAGES = 20;
/* Bytes of one request, of the 64 KiB that uhttpd takes (UH_UBUS_MAX_POST_SIZE); the rest is for its frame. */
const LARGEST_REQUEST = 60000;

function declare(method, params) {
	return rpc.declare({ object: 'viscum', method: method, params: params });
}

const calls = {
	status: declare('status', [ 'after', 'since' ]),
	plan: declare('plan', [ 'from' ]),
	check: declare('check', [ 'sections', 'from' ]),
	logs: declare('logs', [ 'name' ]),
	doctor: declare('doctor'),
	explain: declare('explain', [ 'packet' ]),
	start: declare('start', [ 'name' ]),
	stop: declare('stop', [ 'name' ]),
	restart: declare('restart', [ 'name' ]),
	bypass: declare('bypass', [ 'name', 'on' ]),
	/* Viscum as a whole is procd's: its agent can't be asked to start. */
	service: rpc.declare({ object: 'service', method: 'list', params: [ 'name' ] }),
	exec: rpc.declare({ object: 'file', method: 'exec', params: [ 'command', 'params' ] })
};
const INIT = '/etc/init.d/viscum', COMMAND = '/usr/bin/viscum';

/* In the order of rpc.getStatusText, for statuses that the agent can answer with and that need other words. */
const STATUSES = {
	3: _('This version of the agent does not know this call.'),
	4: _('The agent does not know this service.'),
	6: _('Access denied.'),
	7: _('The agent did not answer in time.'),
	10: _('The connection to the agent was lost.')
};

/* What kind of failure a status is, where it is no refusal. */
const KINDS = { 6: 'denied', 7: 'late' };

/* An error that says what is the matter, and of which kind: 'gone' (no agent), 'denied', 'expired', 'refused' (by the
 * agent), 'late' (no answer in time), 'network'. */
function failure(kind, text) {
	const error = new Error(text);
	error.kind = kind;
	return error;
}

/* What rpc.js rejects with, as a failure. It appends a stack trace to its messages. */
function translated(error) {
	const text = String(error.message || error).split('\n')[0];

	if (error.kind)
		return error;
	if (error.name === 'SessionError')
		return failure('expired', _('The session has expired: log in again.'));
	if (/-32000|Object not found/.test(text))
		return failure('gone', _('The agent does not run: no service is enabled, or Viscum is stopped (`service viscum start` starts it).'));
	if (/-3200[12]|Access denied|Session not found/.test(text))
		return failure('denied', _('Access denied: the session has expired, or this account may not do that.'));
	return failure(/timed out/.test(text) ? 'late' : 'network', _('The router did not answer: %s').format(text));
}

/* The answer to a call that was made, or a failure. An answer without data is the number 0. */
function answered(call) {
	return call.then(function(answer) {
		if (answer === 0 || answer == null)
			return {};
		if (typeof(answer) === 'object' && typeof(answer.message) !== 'string')
			return answer;
		const text = (typeof(answer) === 'object') ? answer.message : STATUSES[answer];
		throw failure(KINDS[answer] || 'refused', text || _('The agent refused: %s').format(answer));
	}).catch(function(error) {
		throw translated(error);
	});
}

function ask(method, ...args) {
	return answered(calls[method](...args));
}

/* An answer that may be too long for one message: `ask(next)` for the rest, until there is none. */
function pages(askOne, collect, left) {
	return askOne().then(function following(answer) {
		collect(answer);
		if (answer.next == null || --left <= 0)
			return answer;
		return askOne(answer.next).then(following);
	});
}

return baseclass.extend({
	known: {},

	/* { version, uptime, services: { NAME: row } }. The agent tells only what is not as it was in the answer before: that is most
	 * of what a poll costs it. How long a program has run goes by itself. */
	status: function() {
		const services = {}, since = this.since;
		let serial;

		return pages((after) => ask('status', after, since), (answer) => {
			serial = serial || answer.serial;
			for (const name in answer.services) {
				const row = Object.assign({}, this.known[name], answer.services[name]);

				if (answer.services[name].uptime != null)
					row.began = answer.now - row.uptime;
				row.uptime = answer.now - row.began;
				services[name] = row;
			}
		}, MOST_PAGES).then((answer) => {
			this.known = services;
			this.since = serial;
			/* It was away and came back as it was. */
			if (since != null && Object.values(services).some((row) => row.state == null)) {
				this.since = undefined;
				return this.status();
			}
			return { version: answer.version, uptime: answer.uptime, services: services };
		});
	},

	/* The answer of another object of the agent's; `args` are the arguments by name. */
	of: function(object, method, args) {
		const names = Object.keys(args || {});

		return answered(rpc.declare({ object: object, method: method, params: names })(...names.map((name) => args[name])));
	},

	/* What to say while an answer is long in coming. */
	silence: function() {
		return failure('network', _('No answer comes; waiting for it.'));
	},

	/* What the sections would do if they were the configuration: { problems, commands }, and names of services in
	 * starts, stops, restarts and changes. */
	check: function(sections) {
		const commands = [];
		let first;

		if (JSON.stringify(sections).length > LARGEST_REQUEST)
			return Promise.reject(failure('refused', _('The configuration is too large to be looked at beforehand.')));

		return pages(
			(from) => ask('check', sections, from),
			(answer) => { first = first || answer; commands.push(...(answer.commands || [])); },
			MOST_PAGES
		).then(() => Object.assign({ problems: [], starts: [], stops: [], restarts: [], changes: [] }, first,
			{ commands: commands }));
	},

	logs: function(name) {
		return ask('logs', name || undefined).then((answer) => answer.lines || []);
	},

	doctor: function() {
		return ask('doctor').then((answer) => answer.findings || []);
	},

	/* What becomes of a packet, which is text: { taken, service, match, rule, reasons }. */
	explain: function(packet) {
		return ask('explain', packet);
	},

	/* Why there is no agent, as a failure in place of `error`, which says that there is none. */
	absence: function(error) {
		return ask('service', 'viscum').then(function({ viscum }) {
			if (!viscum)
				return failure('stopped', _('Viscum is stopped: clients reach the cloud.'));
			if (!Object.keys(viscum.instances || {}).length)
				return failure('idle', _('The agent does not run, because no service is enabled.'));
			return failure('gone', _('The agent does not answer: it is starting or ending.'));
		}).catch(() => error);
	},

	/* Starts or stops Viscum as a whole; verb: start, stop. A program may take longer to end than LuCI and rpcd wait: the
	 * init script goes on meanwhile, and `status` and `absence` say what becomes of it. */
	init: function(verb) {
		return ask('exec', INIT, [ verb ]).then(function(answer) {
			if (answer.code)
				throw failure('refused', answer.stderr || answer.stdout || _('%s failed.').format(INIT + ' ' + verb));
		}).catch(function(error) {
			if (error.kind !== 'late')
				throw error;
		});
	},

	/* Sections that are there to be added: [ { name, text, package, missing, needs, options } ]. They need no agent. */
	recipes: function() {
		return ask('exec', COMMAND, [ 'recipes', '--json' ]).then(function(answer) {
			if (answer.code)
				throw failure('refused', answer.stderr || _('%s failed.').format(COMMAND + ' recipes'));
			return JSON.parse(answer.stdout);
		});
	},

	/* verb: start, stop, restart */
	order: function(verb, name) {
		return ask(verb, name);
	},

	bypass: function(name, on) {
		return ask('bypass', name, on);
	},

	/* The states in the order of a service's life, and the colour and words of each. */
	states: {
		healthy: { word: _('healthy'), mood: 'good' },
		starting: { word: _('starting'), mood: 'busy' },
		stopping: { word: _('stopping'), mood: 'busy' },
		bypassed: { word: _('bypassed'), mood: 'fair' },
		waiting: { word: _('waiting'), mood: 'fair' },
		backoff: { word: _('restarts soon'), mood: 'fair' },
		failed: { word: _('failed'), mood: 'bad' },
		stopped: { word: _('stopped'), mood: 'off' },
		disabled: { word: _('disabled'), mood: 'off' }
	},

	/* Colours of a mood: those of the theme where it has some, else of middle lightness, to be seen on any ground. */
	style: [
		'.viscum-good { --mood: var(--success-color-high, var(--success-color, var(--success, #2e9b57))) }',
		'.viscum-busy { --mood: var(--primary-color-high, var(--primary, #3d84d6)) }',
		'.viscum-fair { --mood: var(--warn-color-high, var(--warning-color, var(--warning, #c98a12))) }',
		'.viscum-bad { --mood: var(--error-color-high, var(--error-color, var(--danger, #d64545))) }',
		'.viscum-off { --mood: #8a8a8a }',
		'.viscum-state { display: inline-block; position: relative; padding-left: 1.15em; overflow-wrap: anywhere }',
		'.viscum-state::before { content: ""; position: absolute; left: 0; top: .3em; width: .7em; height: .7em;',
		'border-radius: 50%; background: var(--mood, currentColor) }'
	].join('\n')
});
