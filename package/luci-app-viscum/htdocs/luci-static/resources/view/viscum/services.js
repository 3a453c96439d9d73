'use strict';
'require view';
'require dom';
'require form';
'require uci';
'require ui';
'require rpc';
'require viscum.agent as agent';
'require viscum.options as options';
'require viscum.types as types';

/*
 * Services > Viscum: the configuration. Which options there are, what they take and what they mean comes from the
 * agent's own table (viscum/options.js); here is only where they stand and which widget each one gets.
 *
 * An option that has its default's value is not written, and one that means the same as before is left as it is: a file
 * written by hand stays as its author likes it.
 */

const callInterfaces = rpc.declare({ object: 'network.interface', method: 'dump', expect: { 'interface': [] } });
const callDevices = rpc.declare({ object: 'network.device', method: 'status', expect: { '': {} } });
const callHosts = rpc.declare({ object: 'luci-rpc', method: 'getHostHints', expect: { '': {} } });
const callRead = rpc.declare({ object: 'file', method: 'read', params: [ 'path' ], expect: { data: '' } });

const TABS = [
	[ 'general', _('General'),
		[ 'enabled', 'command', 'interface', 'device', 'proto', 'dest_ip', 'dest_host', 'dest_port', 'tenant' ] ],
	[ 'match', _('Match'),
		[ 'family', 'client', 'src_mac', 'src_ip', 'exclude_client', 'exclude_dest', 'snoop', 'vlan', 'target_port', 'dynamic_ports' ] ],
	[ 'program', _('Program'),
		[ 'user', 'group', 'workdir', 'env', 'start_timeout', 'term_timeout',
			'drain_timeout', 'respawn_threshold', 'respawn_timeout', 'respawn_retry' ] ],
	[ 'box', _('Limits'),
		[ 'memory_max', 'cpu_max', 'pids_max', 'rate', 'burst', 'capability', 'allow_syscalls', 'seccomp', 'nofile',
			'nproc', 'core', 'memlock', 'fsize', 'umask', 'oom_score_adj', 'nice', 'view', 'visible', 'writable', 'tmp_size',
			'root', 'mount', 'bundle' ] ],
	[ 'health', _('Health'),
		[ 'healthcheck', 'health_port', 'health_command', 'health_interval', 'health_timeout', 'health_rise',
			'health_fall' ] ],
	/* and whatever is in no other one */
	[ 'more', _('Datapath'), [] ]
];
const COLUMNS = {
	service: [ 'enabled', 'command', 'interface', 'dest_ip', 'dest_port' ],
	redirect: [ 'service', 'proto', 'dest_ip', 'dest_port' ],
	group: [ 'mac', 'ip', 'name' ]
};

/* The text as HTML, with what is between backquotes as code: descriptions are HTML. */
function asHtml(text) {
	return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
		.replace(/`([^`]*)`/g, '<code>$1</code>');
}

/* What is configured, as the option's widget takes it; null for what is not. */
function shown(option, raw) {
	if (raw == null)
		return null;
	if (option.type === 'bool')
		return types.isOn(raw) ? '1' : '0';
	if (option.type === 'command')
		return Array.isArray(raw) ? types.joined(raw) : raw;
	if (option.many)
		return Array.isArray(raw) ? raw : L.toArray(raw);
	return Array.isArray(raw) ? raw.join(' ') : raw;
}

function isSame(option, one, other) {
	return one != null && JSON.stringify(shown(option, one)) === JSON.stringify(shown(option, other));
}

function widgetOf(option) {
	if (option.type === 'bool')
		return form.Flag;
	/* It may have more than one line, and a field of one line takes the ends of others away. */
	if (option.type === 'command')
		return form.TextValue;
	if (option.many)
		return form.DynamicList;
	return option.type === 'choice' ? form.ListValue : form.Value;
}

/* `suggestions`, by the names of options: what there is on this router to choose from, as values or as pairs of a value
 * and what is shown for it. */
function dress(field, option, suggestions) {
	const fallback = option.fallback;

	field.rmempty = option.type !== 'bool';
	/* Only a TextValue heeds it. */
	field.wrap = true;
	/* A section that was just added has no widgets yet: what it was given stays. */
	field.retain = true;
	if (option.type === 'bool' || option.type === 'choice' && !option.many)
		field.default = fallback;
	else if (fallback.length)
		field.placeholder = option.many ? fallback.join(' ') : fallback;
	if (option.type === 'choice' && !option.many && fallback === '')
		field.value('', _('unset'));
	for (const word of option.words || suggestions[option.name] || [])
		field.value(...[].concat(word));
	field.load = function(section) {
		return shown(option, uci.get('viscum', section, option.name));
	};
	field.write = function(section, value) {
		const stored = uci.get('viscum', section, option.name);

		if (!isSame(option, stored != null ? stored : fallback, value))
			uci.set('viscum', section, option.name, value);
	};
	field.validate = function(_section, value) {
		for (const text of Array.isArray(value) ? value : [ value ]) {
			const verdict = types.check(option, text);
			if (verdict !== true)
				return verdict;
		}
		return true;
	};
}

/* A select has nothing but its choices to show. Without one for a word of the file that this version does not know, it
 * would show its first, and Save write that. */
function keepUnknown(field, option) {
	const { load, validate } = field;
	const offered = new Set(option.words);

	field.load = function(section) {
		const word = load.call(this, section);

		if (word && !offered.has(word)) {
			offered.add(word);
			this.value(word, _('%s (unknown)').format(word));
		}
		return word;
	};
	field.validate = function(section, value) {
		return value === this.cfgvalue(section) || validate.call(this, section, value);
	};
}

/* LuCI drops what was typed for a list, or into the menu of a field with suggestions, and not taken with Enter, be it
 * wrong or right. Here it counts. */
function keepTyped(field, option) {
	const own = widgetOf(option).prototype;

	field.typed = function(section) {
		const input = this.map.findElement('data-field', this.cbid(section))
			?.querySelector('.add-item > input, .create-item-input');

		return input ? input.value.trim() : '';
	};
	field.isValid = function(section) {
		return types.check(option, this.typed(section)) === true && own.isValid.call(this, section);
	};
	field.getValidationError = function(section) {
		const verdict = types.check(option, this.typed(section));

		return verdict === true ? own.getValidationError.call(this, section) : verdict;
	};
	field.formvalue = function(section) {
		const text = this.typed(section);
		const value = own.formvalue.call(this, section);

		if (text === '')
			return value;
		if (!option.many)
			return text;
		return value.includes(text) ? value : value.concat([ text ]);
	};
	field.renderWidget = function(...args) {
		const node = own.renderWidget.apply(this, args);

		takeTyped(node);
		return node;
	};
}

/* A menu that closes hides what was typed into it, and LuCI keeps it there. It is taken as with Enter, to be seen; not
 * after Escape, nor where something else was chosen. */
function takeTyped(node) {
	const input = node.querySelector('.create-item-input'), menu = input?.closest('.cbi-dropdown');

	if (!menu)
		return;
	const chosen = () => dom.callClassMethod(menu, 'getValue');
	let before = chosen();

	/* It also comes whenever the menu closes. */
	menu.addEventListener('cbi-dropdown-change', function() {
		const now = chosen(), text = input.value.trim();

		if (text !== '' && now === before && now !== text) {
			pressEnter(input);
			return;
		}
		before = now;
		input.value = '';
		/* It may have been wrong, and still be marked. */
		input.dispatchEvent(new Event('keyup'));
	});
	menu.addEventListener('keydown', function(ev) {
		if (ev.key === 'Escape')
			input.value = '';
	}, true);
}

/* LuCI moves the focus to what it made of the text; it may be in the next field by now. */
function pressEnter(input) {
	const focused = document.activeElement;

	input.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 13 }));
	focused?.focus();
}

/* Puts the options of a section's type into it, in tabs where the table has any. */
function fill(section, table, suggestions, tabs, columns) {
	for (const [ name, title ] of tabs || [])
		section.tab(name, title);
	for (const option of inOrder(table, tabs)) {
		const widget = widgetOf(option);
		const words = [ widget, option.name, option.title, asHtml(option.help) ];
		const field = tabs ? section.taboption(tabOf(option, tabs), ...words) : section.option(...words);

		dress(field, option, suggestions);
		if (widget === form.ListValue)
			keepUnknown(field, option);
		if (widget === form.DynamicList || suggestions[option.name])
			keepTyped(field, option);
		if (columns)
			field.modalonly = columns.includes(option.name) ? null : true;
		if (columns && option.name === 'enabled')
			field.editable = true;
		if (columns && option.name === 'interface')
			field.textvalue = sources;
	}
}

function tabOf(option, tabs) {
	const found = tabs.find((tab) => tab[2].includes(option.name)) || tabs[tabs.length - 1];
	return found[0];
}

/* The table sorted as the tabs name its options; those that none names stay behind, in their own order. */
function inOrder(table, tabs) {
	const names = (tabs || []).flatMap((tab) => tab[2]);
	const place = (option) => names.includes(option.name) ? names.indexOf(option.name) : names.length;

	return table.slice().sort((one, other) => place(one) - place(other));
}

/* Where a service's traffic comes from, in a cell: networks and devices. */
function sources(section) {
	const found = [ 'interface', 'device' ].flatMap((name) => L.toArray(uci.get('viscum', section, name)));

	return found.length ? E('span', {}, [ found.join(' ') ]) : null;
}

function optionOf(name) {
	return options.service.find((each) => each.name === name);
}

function freeName(name) {
	const stem = name.slice(0, options.longestName - 4).replace(/_[0-9]+$/, '');
	let number = 2;

	while (uci.get('viscum', '%s_%d'.format(stem, number)) != null)
		number++;
	return '%s_%d'.format(stem, number);
}

/* A mistake in the form. */
function complain(error) {
	ui.addNotification(null, E('p', {}, [ error.message ]), 'danger');
	return Promise.resolve();
}

/* Sections that people name. */
const OwnNameSection = form.GridSection.extend({
	handleAdd: function(ev, name) {
		const refusal = this.refusal(name);

		return refusal ? complain(new Error(refusal)) : this.super('handleAdd', [ ev, name ]);
	},

	/* Why there can't be a section of that name; '' if there can. */
	refusal: function(name) {
		if (name.length > options.longestName)
			return _('A name has at most %d characters.').format(options.longestName);
		/* LuCI would open an empty form, and what is filled in there overwrite what is there. */
		if (uci.get('viscum', name) != null || this.map.children.some((each) => each.section === name))
			return _('There is a section "%s" already.').format(name);
		return '';
	}
});

const ServiceSection = OwnNameSection.extend({
	renderSectionAdd: function(...args) {
		const node = this.super('renderSectionAdd', args);

		node.appendChild(E('button', {
			'class': 'btn cbi-button cbi-button-action viscum-recipe',
			'disabled': this.map.readonly || null,
			'click': ui.createHandlerFn(this, () => agent.recipes().then((found) => this.chooseRecipe(found), complain))
		}, [ _('Add a recipe') ]));
		return node;
	},

	/* Shows the recipes; what is chosen and filled in becomes a section, in the dialog of its options. */
	chooseRecipe: function(recipes) {
		const fields = E('div');
		const show = (name) => dom.content(fields, this.recipeFields(recipes.find((each) => each.name === name)));
		const menu = E('select', {
			'class': 'cbi-input-select viscum-recipes',
			'change': (ev) => show(ev.target.value)
		}, recipes.map((each) => E('option', { 'value': each.name }, [ each.name ])));

		if (!recipes.length)
			return complain(new Error(_('There are no recipes on this router.')));
		show(recipes[0].name);
		ui.showModal(_('Recipes'), [ menu, fields ]);
	},

	recipeFields: function(recipe) {
		const inputs = {}, mistake = E('p', { 'class': 'viscum-mistake', 'role': 'alert' });
		const line = function(name, title, value) {
			inputs[name] = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'name': name, 'value': value });
			return E('label', { 'class': 'cbi-value' }, [
				E('span', { 'class': 'cbi-value-title' }, [ title ]), E('div', { 'class': 'cbi-value-field' }, [ inputs[name] ])
			]);
		};
		const free = this.refusal(recipe.name) ? freeName(recipe.name) : recipe.name;
		const add = () => {
			const typed = (name) => inputs[name].value.trim();
			const refusal = this.refuseRecipe(recipe, typed);

			dom.content(mistake, [ refusal ]);
			return refusal ? null : this.addRecipe(recipe, typed);
		};

		return [
			E('p', {}, [ recipe.text ]),
			recipe.missing.length ? E('p', { 'class': 'alert-message warning' }, [
				_('%s is not on this router: install the package %s.').format(recipe.missing.join(', '), recipe.package)
			]) : '',
			line('name', _('Name'), free),
			...recipe.needs.map((need) => line(need, optionOf(need).title, '')),
			mistake,
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal }, [ _('Cancel') ]), ' ',
				E('button', {
					'class': 'btn cbi-button cbi-button-positive important viscum-take',
					'click': ui.createHandlerFn(this, add)
				}, [ _('Add') ])
			])
		];
	},

	/* Why what was typed will not do; '' if it will. */
	refuseRecipe: function(recipe, typed) {
		if (!/^\w+$/.test(typed('name')))
			return _('A name has letters, digits and _ only.');
		for (const need of recipe.needs) {
			const option = optionOf(need), words = L.toArray(typed(need));
			const verdict = words.length ? words.map((word) => types.check(option, word)).find((each) => each !== true)
				: '%s: %s'.format(option.title, option.expected);

			if (verdict)
				return verdict;
			if (JSON.stringify(recipe.options).includes('{' + need + '}') && (words.length > 1 || words[0].includes('/')))
				return '%s: %s'.format(option.title, _('one address: for others add the recipe again'));
		}
		return this.refusal(typed('name'));
	},

	/* As `viscum add` does (cli/recipes.py), but staged. */
	addRecipe: function(recipe, typed) {
		const name = typed('name');
		const filled = (text) => recipe.needs.reduce(function(found, need) {
			const first = L.toArray(typed(need))[0];

			return found.split('{' + need + '}').join(first.includes(':') ? '[' + first + ']' : first);
		}, text);

		uci.add('viscum', 'service', name);
		for (const option in recipe.options) {
			const value = recipe.options[option];

			uci.set('viscum', name, option, Array.isArray(value) ? value.map(filled) : filled(value));
		}
		for (const need of recipe.needs)
			uci.set('viscum', name, need, L.toArray(typed(need)));
		this.map.addedSection = name;
		return this.renderMoreOptionsModal(name);
	},

	/* The copy is disabled: two services can't take over the same traffic. LuCI's own handler gives it no name. */
	handleClone: function(section) {
		return this.map.parse().then(() => {
			const copy = uci.add('viscum', 'service', freeName(section));
			const values = uci.get('viscum', section);

			for (const name in values)
				if (!name.startsWith('.'))
					uci.set('viscum', copy, name, values[name]);
			uci.set('viscum', copy, 'enabled', '0');
			return this.map.save(null, true);
		}).catch(complain);
	}
});

/* LuCI shows the options of a section only if it is there, and saves one that is made for that even if it is empty. So it
 * is there while LuCI looks, and afterwards if something was set in it. */
const GlobalsSection = form.NamedSection.extend({
	render: function() {
		return this.made(() => this.super('render', []));
	},

	parse: function() {
		return this.made(() => this.super('parse', []));
	},

	made: function(look) {
		if (uci.get('viscum', this.section) == null) {
			uci.add('viscum', 'globals', this.section);
			this.isMade = true;
		}
		return Promise.resolve(look()).finally(() => {
			const section = uci.get('viscum', this.section) || {};

			if (this.isMade && Object.keys(section).every((key) => key.startsWith('.')))
				uci.remove('viscum', this.section);
		});
	}
});

/* The configuration as it is in the browser now, as `check` takes it. uci.sections() also has options that were
 * removed, uci.get() knows. */
function sections() {
	return uci.sections('viscum').map(function(section) {
		const name = section['.name'];
		const row = { '.name': name, '.type': section['.type'] };

		for (const key of Object.keys(section).filter((each) => !each.startsWith('.'))) {
			const value = uci.get('viscum', name, key);
			if (value != null)
				row[key] = value;
		}
		return row;
	});
}

function paragraphs(title, texts) {
	return texts.length ? [ E('h5', {}, [ title ]), E('ul', {}, texts.map((text) => E('li', {}, [ text ]))) ] : [];
}

/* What becomes of programs, and whose clients notice. */
function fates(answer) {
	const sentences = [
		[ answer.starts, N_(answer.starts.length, '%s starts, and answers its clients once it is healthy.',
			'%s start, and answer their clients once they are healthy.') ],
		[ answer.stops, N_(answer.stops.length, '%s stops: its clients reach the cloud.',
			'%s stop: their clients reach the cloud.') ],
		[ answer.restarts, N_(answer.restarts.length,
			'%s restarts: its clients reach the cloud until it is healthy again.',
			'%s restart: their clients reach the cloud until they are healthy again.') ],
		[ answer.changes, N_(answer.changes.length, '%s goes on, and takes over other traffic than before.',
			'%s go on, and take over other traffic than before.') ]
	].filter(([ names ]) => names.length).map(([ names, text ]) => text.format(names.join(', ')));

	if (!sentences.length)
		return _('No program starts, stops or restarts, and no client notices anything.');
	return sentences.concat([ _('Nobody else notices anything.') ]).join(' ');
}

/* What an answer of `check` says, as nodes. */
function planned(answer) {
	const nodes = [
		E('p', { 'class': 'viscum-fates' }, [ fates(answer) ]),
		...paragraphs(_('Problems: a service with one is not changed, or does not start'), answer.problems)
	];

	if (answer.commands.length)
		nodes.push(E('h5', {}, [ _('What will be done, as the commands that a person would type') ]),
			E('pre', { 'class': 'viscum-plan', 'style': 'max-height: 20em; overflow: auto' },
				[ answer.commands.join('\n') ]));
	else
		nodes.push(E('p', { 'class': 'viscum-plan' }, [ _('Nothing changes in the kernel.') ]));
	return nodes;
}

/* Shows the plan; `apply` is what the button behind it does, none for a mere look. */
function showPlan(apply) {
	return agent.check(sections()).then(planned, function(error) {
		return [ E('p', { 'class': 'alert-message warning' }, [
			_('What this would do can not be told beforehand: %s').format(error.message)
		]) ];
	}).then(function(nodes) {
		const buttons = [ E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal },
			[ apply ? _('Cancel') : _('Dismiss') ]) ];

		if (apply)
			buttons.push(' ', E('button', {
				'class': 'btn cbi-button cbi-button-apply important viscum-apply',
				'click': function() { ui.hideModal(); apply(); }
			}, [ _('Apply') ]));
		ui.showModal(_('Plan'), nodes.concat([ E('div', { 'class': 'right' }, buttons) ]));
	});
}

/* Whom LuCI knows, as suggestions: by MAC address, address and name, each with what else is known. Clients choose their
 * names: what is none for the agent is left out. */
function clients(hints) {
	const found = { mac: [], ip: [], name: [] };
	const name = options.group.find((each) => each.name === 'name');

	for (const key of Object.keys(hints).sort()) {
		const mac = key.toLowerCase(), hint = hints[key];
		const host = hint.name && types.check(name, hint.name) === true ? hint.name : '';
		const addresses = L.toArray(hint.ipaddrs).concat(L.toArray(hint.ip6addrs));
		const titled = function(value) {
			const others = [ host, mac, ...addresses ].filter((each) => each !== '' && each !== value);
			return others.length ? [ value, '%s (%s)'.format(value, others.join(', ')) ] : [ value ];
		};

		found.mac.push(titled(mac));
		found.ip.push(...addresses.map(titled));
		if (host)
			found.name.push(titled(host));
	}
	return found;
}

function names(text) {
	return text.split('\n').map((line) => line.split(':')[0]).filter((name) => name !== '');
}

return view.extend({
	/* What can't be had is no suggestion, and everything can still be typed. */
	load: function() {
		return Promise.all([
			uci.load('viscum'),
			L.resolveDefault(callInterfaces(), []),
			L.resolveDefault(callDevices(), {}),
			L.resolveDefault(callRead('/etc/passwd'), ''),
			L.resolveDefault(callRead('/etc/group'), ''),
			L.resolveDefault(callHosts(), {})
		]);
	},

	render: function([ , interfaces, devices, users, groups, hints ]) {
		const known = clients(hints);
		const whom = uci.sections('viscum', 'group').map((each) => each['.name']).concat(known.mac);
		const suggestions = {
			...known,
			src_mac: known.mac,
			src_ip: known.ip,
			client: whom,
			exclude_client: whom,
			'interface': interfaces.map((each) => each.interface).filter((name) => name !== 'loopback')
				.concat([ '@wifi' ]),
			device: Object.keys(devices).filter((name) => name !== 'lo').sort(),
			user: names(users),
			group: names(groups),
			service: uci.sections('viscum', 'service').map((each) => each['.name'])
		};
		const map = this.map = new form.Map('viscum', _('Viscum'),
			_('Programs that answer cloud traffic right on this router. While one is not healthy, clients reach the cloud.'));

		this.addServices(map, suggestions);
		this.addRedirects(map, suggestions);
		this.addGroups(map, suggestions);
		this.addGlobals(map, suggestions);
		return map.render().then((nodes) => E([], [
			nodes, this.renderPreview(),
			E('p', {}, [ E('a', { 'href': L.url('admin/status/viscum') }, [ _('What the services do now') ]) ])
		]));
	},

	addServices: function(map, suggestions) {
		const section = map.section(ServiceSection, 'service', _('Services'));

		section.addremove = true;
		section.cloneable = true;
		section.anonymous = false;
		section.nodescriptions = true;
		section.modaltitle = (name) => _('Service') + ': ' + name;
		fill(section, options.service, suggestions, TABS, COLUMNS.service);
	},

	addRedirects: function(map, suggestions) {
		const section = map.section(form.GridSection, 'redirect', _('Further matches'),
			_('More traffic that a service takes over, beside what its own section says.'));

		section.addremove = true;
		section.anonymous = true;
		section.nodescriptions = true;
		section.modaltitle = () => _('Further match');
		fill(section, options.redirect, suggestions, null, COLUMNS.redirect);
	},

	addGroups: function(map, suggestions) {
		const section = map.section(OwnNameSection, 'group', _('Groups of clients'),
			_('Services name them under "Clients" and "Excluded clients". MAC addresses and names are the clients\' own ' +
				'choice: a group is no protection.'));

		section.addremove = true;
		section.anonymous = false;
		section.nodescriptions = true;
		section.modaltitle = (name) => _('Group of clients') + ': ' + name;
		fill(section, options.group, suggestions, null, COLUMNS.group);
	},

	/* The first section counts. */
	addGlobals: function(map, suggestions) {
		const there = uci.sections('viscum', 'globals')[0];
		const free = uci.get('viscum', 'globals') == null ? 'globals' : freeName('globals');
		const section = map.section(GlobalsSection, there ? there['.name'] : free, 'globals', _('For all services'));

		fill(section, options.globals, suggestions);
	},

	renderPreview: function() {
		if (L.hasViewPermission() === false)
			return E([]);
		return E('p', {}, [ E('button', {
			'class': 'btn cbi-button cbi-button-neutral viscum-preview',
			'click': ui.createHandlerFn(this, function() {
				return this.map.parse().then(() => showPlan(), complain);
			})
		}, [ _('Show plan') ]) ]);
	},

	/* The agent says what would happen before anything is saved. What can't be saved LuCI itself says. */
	handleSaveApply: function(ev, mode) {
		const apply = () => this.handleSave(ev).then(() => ui.changes.apply(mode == '0'), () => null);

		return this.map.parse().then(() => showPlan(apply), complain);
	}
});
