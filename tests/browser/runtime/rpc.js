'use strict';
'require baseclass';
'require request';

const STATUS = [_('Command OK'), _('Invalid command'), _('Invalid argument'), _('Method not found'), _('Resource not found'),
	_('No data received'), _('Permission denied'), _('Request timeout'), _('Not supported'), _('Unspecified error'),
	_('Connection lost')];

/* JSON-RPC as LuCI does it: what is asked together goes in one request, with the next frame that is drawn, so a page that
 * can't be seen asks nothing. */
return baseclass.extend({
	waiting: [],
	interceptors: [],
	id: 1,

	declare(options) {
		return (...args) => {
			const params = {};
			(options.params ?? []).forEach((name, index) => { params[name] = args[index]; });
			const rest = args.slice((options.params ?? []).length);
			return this.send({ object: options.object, method: options.method }, {
				method: 'call',
				params: [L.env.sessionid, options.object, options.method, params]
			}, options.nobatch).then((message) => {
				const value = this.expected(options, this.result(options, message));
				return options.filter ? options.filter.call(this, value, args, ...rest) : value;
			});
		};
	},

	list() {
		return this.send({}, { method: 'list' }, true).then((message) => message.result);
	},

	async send(asked, body, alone) {
		const message = await new Promise((done, failed) => {
			this.waiting.push({ body: { jsonrpc: '2.0', id: this.id++, ...body }, done, failed });
			if (alone)
				this.flush();
			else if (this.waiting.length == 1)
				requestAnimationFrame(() => this.flush());
		});
		await Promise.all(this.interceptors.map((fn) => fn(message, asked)));
		return message;
	},

	async flush() {
		const batch = this.waiting.splice(0);
		if (!batch.length)
			return;
		try {
			const reply = await request.post(L.env.ubuspath, batch.map((each) => each.body), {
				timeout: (L.env.rpctimeout ?? 20) * 1000
			});
			if (!reply.ok)
				L.raise('RPCError', 'RPC call failed with HTTP error %d: %s', reply.status, reply.statusText);
			const messages = await reply.json();
			batch.forEach((each, index) => each.done(messages[index]));
		}
		catch (error) {
			/* What XMLHttpRequest says through LuCI when nobody answers. */
			const why = error.name == 'TimeoutError' ? 'timed out' : 'aborted by browser';
			const failure = error.name == 'RPCError' ? error : new Error('XHR request ' + why);
			batch.forEach((each) => each.failed(failure));
		}
	},

	result(options, message) {
		const { object, method } = options;
		if (message?.jsonrpc != '2.0')
			L.raise('RPCError', 'RPC call to %s/%s returned invalid message frame', object, method);
		if (message.error?.code)
			L.raise('RPCError', 'RPC call to %s/%s failed with error %d: %s', object, method, message.error.code, message.error.message);
		const [code, data] = message.result;
		if (options.reject && code !== 0)
			L.raise('RPCError', 'RPC call to %s/%s failed with ubus code %d: %s', object, method, code, this.getStatusText(code));
		return message.result.length > 1 ? data : code;
	},

	expected(options, value) {
		for (const key in options.expect ?? {}) {
			const type = (each) => Object.prototype.toString.call(each);
			const found = key != '' && value != null ? value[key] : value;
			return found == null || type(found) != type(options.expect[key]) ? options.expect[key] : found;
		}
		return value;
	},

	getSessionID: () => L.env.sessionid,

	getStatusText: (code) => STATUS[code] ?? _('Unknown error code'),

	addInterceptor(fn) {
		this.interceptors.push(fn);
		return fn;
	},

	removeInterceptor(fn) {
		this.interceptors.splice(0, Infinity, ...this.interceptors.filter((each) => each !== fn));
	}
});
