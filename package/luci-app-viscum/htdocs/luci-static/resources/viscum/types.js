'use strict';
'require baseclass';

/*
 * The types of the agent's options (viscum_agent/config/schema.py), to say at once what is wrong with a value.
 *
 * A value passes here if and only if it passes there: the tests put the same values to both. What takes two options to
 * judge is the agent's alone (agent.check).
 */

/* The value is wrong, and the text says how; where there is none, what the option takes says it. */
function Refused(text) {
	this.text = text;
}

function refuse(text) {
	throw new Refused(text);
}

function bytesOf4(text) {
	const words = text.split('.');

	if (words.length !== 4 || !words.every((word) => /^(0|[1-9][0-9]{0,2})$/.test(word) && +word <= 255))
		refuse();
	return words.map(Number);
}

/* The bytes of one side of `::`, or of all of an address. */
function bytesOfGroups(text, mayEndIn4) {
	const bytes = [];
	const groups = text === '' ? [] : text.split(':');

	groups.forEach(function(group, i) {
		if (mayEndIn4 && i === groups.length - 1 && group.includes('.'))
			bytes.push(...bytesOf4(group));
		else if (/^[0-9a-fA-F]{1,4}$/.test(group))
			bytes.push(parseInt(group, 16) >> 8, parseInt(group, 16) & 255);
		else
			refuse();
	});
	return bytes;
}

function bytesOf6(text) {
	const halves = text.split('::');
	const head = bytesOfGroups(halves[0], halves.length === 1);

	if (halves.length === 1)
		return head.length === 16 ? head : refuse();

	const tail = bytesOfGroups(halves[1], true);
	/* `::` is at least one group. */
	if (halves.length > 2 || head.length + tail.length > 14)
		refuse();
	return head.concat(Array(16 - head.length - tail.length).fill(0), tail);
}

function bytesOf(text) {
	return text.includes(':') ? bytesOf6(text) : bytesOf4(text);
}

/* The first bits of two addresses of one family are the same. */
function sameBits(one, other, length) {
	for (let bit = 0; bit < length; bit++)
		if ((one[bit >> 3] ^ other[bit >> 3]) & (128 >> (bit & 7)))
			return false;
	return true;
}

/* The usual text (RFC 5952 for IPv6). */
function addressOf(bytes) {
	if (bytes.length === 4)
		return bytes.join('.');
	const groups = [];
	for (let i = 0; i < 16; i += 2)
		groups.push((bytes[i] << 8 | bytes[i + 1]).toString(16));
	const text = groups.join(':');
	const zeros = (text.match(/\b0(:0)+\b/g) || []).reduce((one, other) => other.length > one.length ? other : one, '');
	if (zeros === '')
		return text;
	const at = (':' + text + ':').indexOf(':' + zeros + ':');
	return text.slice(0, Math.max(0, at - 1)) + '::' + text.slice(at + zeros.length + 1);
}

function masked(bytes, length) {
	return bytes.map((byte, i) => byte & ~(255 >> Math.min(8, Math.max(0, length - 8 * i))));
}

function prefixOf(text) {
	const at = text.indexOf('/');
	const bytes = bytesOf(at < 0 ? text : text.slice(0, at));
	const whole = 8 * bytes.length;
	let length = whole;

	if (at >= 0) {
		const word = text.slice(at + 1);
		if (!/^[0-9]{1,3}$/.test(word) || +word > whole)
			refuse(_('has a wrong prefix length; it goes from 0 to %d').format(whole));
		length = +word;
	}
	const network = addressOf(masked(bytes, length));
	if (network !== addressOf(bytes))
		refuse(_('has bits set past its length; the network is %s/%d, the address alone %s')
			.format(network, length, addressOf(bytes)));
	refuseIPv4In6(bytes, length);
	return { bytes: bytes, length: length };
}

/* ::ffff:203.0.113.10 and ::203.0.113.10 are on no wire. */
function refuseIPv4In6(bytes, length) {
	const head = addressOf(masked(bytes, 96));
	const nobody = length >= 127 && addressOf(masked(bytes, 127)) === '::';

	if (bytes.length === 16 && length >= 96 && !nobody && [ '::', '::ffff:0:0' ].includes(head))
		refuse(_('is an address that no packet has: write %s').format(addressOf(bytes.slice(12))));
}

function overlaps(one, other) {
	return one.bytes.length === other.bytes.length &&
		sameBits(one.bytes, other.bytes, Math.min(one.length, other.length));
}

function refuseNoHost(text, option, why) {
	const prefix = prefixOf(text);

	for (const [ never, reason ] of option.never)
		if (prefix.length >= prefixOf(never).length && overlaps(prefixOf(never), prefix))
			refuse(why.format(never, reason));
}

/* `other` is the option for addresses. */
function refuseNoName(name, other) {
	const isLabel = (label) => /^[a-z0-9_-]{1,63}$/i.test(label) && !label.startsWith('-') && !label.endsWith('-');

	if (name.length > 253 || !name.split('.').every(isLabel))
		refuse();
	if (/(^|\.)[0-9]+$/.test(name))
		refuse(_('is no name: addresses are for %s').format(other));
}

function integer(text, low, high) {
	if (!/^[0-9]{1,10}$/.test(text) || +text < low || +text > high)
		refuse();
	return +text;
}

function bytes(text, least, most) {
	const unit = /[kmg]$/i.test(text) ? 'kmg'.indexOf(text.slice(-1).toLowerCase()) + 1 : 0;
	const count = integer(unit ? text.slice(0, -1) : text, 0, 9999999999) * 1024 ** unit;

	if (count < least || count > most)
		refuse();
}

function match(expression) {
	return (text) => expression.test(text) || refuse();
}

const DEVICE = /^[A-Za-z0-9_.@+,=%#*?-]{1,15}$/;

const types = {
	bool: match(/^(1|on|true|yes|enabled|0|off|false|no|disabled)$/),
	text: (text) => text !== '' || refuse(),
	/* A text that is a command line: its quotes have to be closed, and something follows a backslash. */
	command: (text) => words(text) != null || refuse(_('has a quote that is not closed, or ends in a backslash')),
	choice: (text, option) => option.words.includes(text) || refuse(),
	number: (text, option) => integer(text, option.low, option.high),
	port: (text) => integer(text, 1, 65535),
	ports: function(text) {
		const at = text.indexOf('-');
		const low = integer(at < 0 ? text : text.slice(0, at), 1, 65535);

		if (at >= 0 && integer(text.slice(at + 1), 1, 65535) < low)
			refuse(_('runs backwards'));
	},
	reached: function(text, option) {
		const found = /^\[(.*:.*)\](?::(.*))?$/.exec(text) || /^([^:[]*):([^:]*)$/.exec(text) || [ text, text ];

		if ([ 'none', 'lan', 'wan', 'any' ].includes(text))
			return;
		refuseNoHost(found[1], option, _('can not be reached: %s is %s'));
		if (found[2] != null)
			types.ports(found[2]);
	},
	nexthop: function(text, option) {
		if (text.includes('/'))
			refuse();
		refuseNoHost(text, option, _('can not be a next hop: %s is %s'));
	},
	mac: function(text) {
		match(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i)(text);
		if (parseInt(text.slice(0, 2), 16) & 1 || /^[0:]+$/.test(text))
			refuse(_('is no single device\'s MAC address'));
	},
	clients: (text, option) => refuseNoHost(text, option, _('can not be a client\'s: %s is %s')),
	client: function(text, option) {
		if (!/^[A-Za-z0-9_]+$/.test(text))
			types[/^[^:]{2}(:[^:]{2}){5}$/.test(text) ? 'mac' : 'some'](text, option);
	},
	some: function(text, option) {
		types.clients(text, option);
		types.prefix(text);
	},
	prefix: (text) => prefixOf(text).length || refuse(_('is every address: name those that are meant')),
	destination: function(text, option) {
		const prefix = prefixOf(text);

		if (prefix.length === 0)
			refuse(_('is any address: leave the option out for that, and name ports'));
		for (const [ never, reason ] of option.never)
			if (overlaps(prefixOf(never), prefix))
				refuse(_('can not be redirected: %s is %s').format(never, reason));
	},
	/* as DNS has it (RFC 1123), with or without a dot at its end, or every name below it */
	host: (text) => refuseNoName(text.replace(/^\*\./, '').replace(/\.$/, ''), 'dest_ip'),
	name: (text) => refuseNoName(text, 'ip'),
	pool: function(text, option) {
		const prefix = prefixOf(text);
		const [ shortest, longest ] = prefix.bytes.length === 4 ? [ 14, 28 ] : [ 16, 110 ];

		if (prefix.length < shortest || prefix.length > longest)
			refuse(_('is too large or too small: its length has to be from %d to %d').format(shortest, longest));
		for (const never of option.never)
			if (overlaps(prefixOf(never), prefix))
				refuse(_('can not be a pool: no device has addresses of %s; take a private prefix').format(never));
	},
	variable: function(text) {
		match(/^[A-Za-z_][A-Za-z0-9_]*=/)(text);
		if (/^VISCUM_/.test(text))
			refuse(_('is a variable that Viscum sets itself'));
	},
	account: function(text) {
		match(/^(?!-)(?:(?![:/])[!-~])+$/)(text);
		if (/^[0-9]+$/.test(text) && (text.length > 10 || +text > 4294967294))
			refuse(_('is not an account number; they go from 0 to %d').format(4294967294));
	},
	capability: function(text, option) {
		const short = text.toLowerCase().replace(/^cap_/, '');

		if (!option.words.includes(text))
			refuse(option.words.includes(short) ? _('is how a C program writes it: write %s').format(short) : null);
	},
	limit: (text) => text === 'unlimited' || integer(text, 0, 9999999999),
	bytes: (text) => bytes(text, 2 ** 20, 2 ** 62 - 1024),
	burst: (text) => bytes(text, 2 ** 11, 2 ** 21),
	/* as tc(8) writes it: bits without a unit */
	rate: function(text) {
		const found = /^(\d+)(?:\.(\d{1,6}))?(?:([kmg]?)(i?)(bit|bps))?$/i.exec(text);

		if (!found || (found[4] && !found[3]))
			refuse();
		const [ , whole, part = '', prefix = '', binary, unit = 'bit' ] = found;
		const multiple = (binary ? 1024 : 1000) ** (prefix ? 'kmg'.indexOf(prefix.toLowerCase()) + 1 : 0);
		const count = Math.floor(integer(whole + part, 0, 9999999999) * multiple / 10 ** part.length);
		const rate = unit.toLowerCase() === 'bps' ? count : Math.floor(count / 8);

		if (rate < 8000 || rate > 4000000000)
			refuse();
	},
	umask: match(/^0?[0-7]{3}$/),
	signed: (text, option) => text[0] === '-' ? integer(text.slice(1), 0, -option.low) : integer(text, 0, option.high),
	path: match(/^\/[^\x00-\x1f\x7f]*$/),
	place: match(/^\/$|^(\/(?!\.{1,2}(\/|$))[^/\x00-\x1f\x7f]+)+$/),
	mount: function(text) {
		const found = /^([^:]*):([^:]*)(?::((?:ro|noexec)(?:,(?:ro|noexec))*))?$/.exec(text) || refuse();

		if (found[1] !== 'tmpfs')
			types.place(found[1]);
		types.place(found[2]);
		if (found[2] === '/' || (found[1] === 'tmpfs' && /ro/.test(found[3] || '')))
			refuse();
	},
	device: (text) => DEVICE.test(text) && ![ '.', '..' ].includes(text.replace(/[*?]/g, '')) || refuse(),
	interface: match(/^(@wifi|[A-Za-z0-9_.-][A-Za-z0-9_.@-]*)$/),
	section: match(/^[A-Za-z0-9_]+$/)
};

/* A command's words as the agent splits them (model.split_words); null where it ends too early. */
function words(text) {
	const found = [];
	let word = null, quote = '';

	for (let i = 0; i < text.length; i++) {
		let c = text[i];
		if (quote && c === quote) {
			quote = '';
		}
		else if (!quote && (c === ' ' || c === '\t' || c === '\n')) {
			if (word != null)
				found.push(word);
			word = null;
		}
		else if (!quote && (c === '"' || c === "'")) {
			word = word || '';
			quote = c;
		}
		else {
			if (c === '\\' && quote !== "'")
				c = text[++i];
			if (c == null)
				return null;
			word = (word || '') + c;
		}
	}
	if (quote)
		return null;
	return word != null ? found.concat([ word ]) : found;
}

return baseclass.extend({
	/* true, or a text that says what is wrong; of one value of an option of viscum/options.js. An empty one is unset. */
	check: function(option, text) {
		if (text == null || text === '')
			return true;
		try {
			types[option.type](String(text), option);
			return true;
		}
		catch (error) {
			if (!(error instanceof Refused))
				throw error;
			return "'%s' %s".format(text, error.text || _('is not %s').format(option.expected));
		}
	},

	words: words,

	/* The words as one text, from which `words` makes the same again. */
	joined: function(list) {
		return list.map(function(word) {
			if (word !== '' && !/[ \t\n"'\\]/.test(word))
				return word;
			return '"' + word.replace(/(["\\])/g, '\\$1') + '"';
		}).join(' ');
	},

	isOn: function(text) {
		return /^(1|on|true|yes|enabled)$/.test(text);
	}
});
