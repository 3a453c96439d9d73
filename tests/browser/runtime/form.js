'use strict';
'require baseclass';
'require dom';
'require rpc';
'require uci';
'require ui';

const access = rpc.declare({
	object: 'session',
	method: 'access',
	params: ['scope', 'object', 'function'],
	expect: { access: false }
});

const Element = baseclass.extend({
	__init__(title, description) {
		this.title = title ?? '';
		this.description = description ?? '';
		this.children = [];
	},

	append(child) {
		this.children.push(child);
		return child;
	},

	/* An attribute that may be a text or a function of the section. */
	titleFn(name, ...args) {
		const value = this[name];
		return typeof(value) == 'function' ? value.call(this, ...args) : typeof(value) == 'string' ? value.format(...args) : null;
	}
});

const FormMap = Element.extend({
	__init__(config, ...args) {
		this.super('__init__', args);
		this.config = config;
		this.data = uci;
	},

	section(kind, ...args) {
		return this.append(new kind(this, ...args));
	},

	async load() {
		if (this.readonly == null && !(await access('uci', this.config, 'write')))
			this.readonly = true;
		await uci.load(this.config);
		await Promise.all(this.children.map((child) => child.load()));
	},

	async render() {
		await this.load();
		return this.renderContents();
	},

	async renderContents() {
		this.root ??= E('div', { 'id': 'cbi-' + this.config, 'class': 'cbi-map' });
		dom.bindClassInstance(this.root, this);
		const nodes = [];
		for (const child of this.children)
			nodes.push(await child.render());
		dom.content(this.root, [
			this.title ? E('h2', { 'name': 'content' }, this.title) : null,
			this.description ? E('div', { 'class': 'cbi-map-descr' }, this.description) : null,
			...nodes
		]);
		return this.root;
	},

	findElement(attribute, value) {
		return this.root.querySelector('[' + attribute + '="' + value + '"]');
	},

	parse() {
		return Promise.all(this.children.map((child) => child.parse()));
	},

	async save(callback, silent) {
		try {
			await this.parse();
			await callback?.();
			await uci.save();
			await this.load();
		}
		catch (error) {
			if (!silent)
				ui.showModal(_('Save error'), [
					E('p', {}, [_('An error occurred while saving the form:')]),
					E('p', {}, [E('em', {}, [error.message])]),
					E('button', { 'class': 'cbi-button', 'click': ui.hideModal }, [_('Dismiss')])
				]);
			throw error;
		}
		return this.renderContents();
	},

	reset() {
		return this.renderContents();
	}
});

const Section = Element.extend({
	__init__(map, type, ...args) {
		this.super('__init__', args);
		this.map = map;
		this.config = map.config;
		this.sectiontype = type;
	},

	tab(name, title, description) {
		this.tabs = [...this.tabs ?? [], { name, title, description }];
	},

	option(kind, ...args) {
		return this.append(new kind(this.map, this, ...args));
	},

	taboption(tab, kind, ...args) {
		const option = this.option(kind, ...args);
		option.tab = tab;
		return option;
	},

	async load() {
		for (const sid of this.cfgsections())
			for (const option of this.children)
				option.cfgvalue(sid, await option.load(sid));
	},

	parse() {
		return Promise.all(this.cfgsections().flatMap((sid) => this.parsed().map((option) => option.parse(sid))));
	},

	parsed() {
		return this.children;
	},

	/* The options of a section, in tabs where there are tabs. */
	renderOptions(sid) {
		if (!this.tabs)
			return this.children.map((option) => option.render(sid));
		const panes = this.tabs.map((tab, index) => E('div', { 'data-tab': tab.name, 'hidden': index ? '' : null }, [
			tab.description ? E('div', { 'class': 'cbi-tab-descr' }, tab.description) : null,
			...this.children.filter((option) => option.tab == tab.name).map((option) => option.render(sid))
		]));
		const show = (name) => panes.forEach((pane) => { pane.hidden = pane.getAttribute('data-tab') != name; });
		const menu = E('ul', { 'class': 'cbi-tabmenu' }, this.tabs.map((tab) => E('li', { 'data-tab': tab.name }, [
			E('a', { 'href': '#', 'click': (ev) => { ev.preventDefault(); show(tab.name); } }, tab.title)
		])));
		return [menu, ...panes];
	},

	heading() {
		return [
			this.title ? E('h3', {}, this.title) : null,
			this.description ? E('div', { 'class': 'cbi-section-descr' }, this.description) : null
		];
	}
});

const NamedSection = Section.extend({
	__init__(map, sid, ...args) {
		this.super('__init__', [map, ...args]);
		this.section = sid;
	},

	cfgsections() {
		return [this.section];
	},

	render() {
		const there = uci.get(this.config, this.section);
		return E('div', { 'class': 'cbi-section' }, [
			...this.heading(),
			there ? E('div', { 'id': 'cbi-%s-%s'.format(this.config, this.section), 'class': 'cbi-section-node' },
				this.renderOptions(this.section)) : null
		]);
	}
});

const GridSection = Section.extend({
	filter: () => true,

	cfgsections() {
		return uci.sections(this.config, this.sectiontype).map((each) => each['.name']).filter((sid) => this.filter(sid));
	},

	/* What is edited in the table itself; the rest is in the dialog. */
	parsed() {
		return this.children.filter((option) => option.editable && !option.modalonly);
	},

	handleAdd(ev, name) {
		this.map.addedSection = uci.add(this.config, this.sectiontype, name);
		return this.renderMoreOptionsModal(this.map.addedSection);
	},

	handleRemove(sid) {
		uci.remove(this.config, sid);
		return this.map.save(null, true);
	},

	handleClone(sid, next, name) {
		uci.clone(this.config, this.sectiontype, sid, next, name);
		return this.map.save(null, true);
	},

	render() {
		const shown = this.children.filter((option) => !option.modalonly);
		const titled = !this.anonymous || this.sectiontitle;
		const head = E('tr', { 'class': 'tr cbi-section-table-titles' }, [
			titled ? E('th', { 'class': 'th' }) : null,
			...shown.map((option) => E('th', { 'class': 'th' }, option.title))
		]);
		const rows = this.cfgsections().map((sid) => E('tr', {
			'id': 'cbi-%s-%s'.format(this.config, sid),
			'class': 'tr cbi-section-table-row',
			'data-sid': sid,
			'data-section-id': sid
		}, [
			titled ? E('td', { 'class': 'td cbi-section-table-titles' }, [this.titleFn('sectiontitle', sid) ?? sid]) : null,
			...shown.map((option) => this.renderCell(sid, option)),
			this.renderRowActions(sid)
		]));
		return E('div', { 'id': 'cbi-%s-%s'.format(this.config, this.sectiontype), 'class': 'cbi-section cbi-tblsection' }, [
			...this.heading(),
			E('table', { 'class': 'table cbi-section-table' }, [head, ...rows]),
			this.addremove ? this.renderSectionAdd() : null
		]);
	},

	renderCell(sid, option) {
		const cell = { 'class': 'td cbi-value-field', 'data-name': option.option };
		if (option.editable)
			return E('td', cell, [option.renderWidget(sid)]);
		return E('td', cell, option.textvalue(sid) ?? E('em', _('none')));
	},

	renderRowActions(sid, more) {
		const button = (kind, title, fn, always) => E('button', {
			'class': 'btn cbi-button cbi-button-' + kind,
			'click': ui.createHandlerFn(this, fn, sid, kind == 'neutral' ? true : undefined),
			'disabled': !always && this.map.readonly || null
		}, [title]);
		return E('td', { 'class': 'td cbi-section-table-cell nowrap cbi-section-actions' }, E('div', {}, [
			button('edit', more ?? _('Edit'), (section) => this.renderMoreOptionsModal(section), true),
			this.cloneable ? button('neutral', _('Clone'), 'handleClone') : null,
			this.addremove ? button('remove', _('Delete'), 'handleRemove') : null
		]));
	},

	renderSectionAdd() {
		const title = this.titleFn('addbtntitle') ?? _('Add');
		const button = E('button', {
			'class': 'cbi-button cbi-button-add',
			'disabled': this.map.readonly || !this.anonymous || null
		}, [title]);
		if (this.anonymous) {
			button.addEventListener('click', ui.createHandlerFn(this, 'handleAdd'));
			return E('div', { 'class': 'cbi-section-create' }, [button]);
		}
		const name = E('input', {
			'type': 'text',
			'class': 'cbi-section-create-name',
			'disabled': this.map.readonly || null,
			'input': () => { button.disabled = !/^\w+$/.test(name.value); }
		});
		button.addEventListener('click', ui.createHandlerFn(this, (ev) => this.handleAdd(ev, name.value)));
		return E('div', { 'class': 'cbi-section-create' }, [E('div', {}, name), button]);
	},

	/* The same options for one section, in a dialog of its own map. */
	async renderMoreOptionsModal(sid) {
		const map = new FormMap(this.config);
		const section = map.section(NamedSection, sid, this.sectiontype);
		map.parent = this.map;
		map.readonly = this.map.readonly;
		section.tabs = this.tabs;
		for (const option of this.children.filter((each) => each.modalonly !== false)) {
			const copy = section.option(option.constructor, option.option, option.title, option.description);
			for (const name of Object.keys(option))
				if (!['map', 'section', 'config', 'data', 'nodes', 'children'].includes(name))
					copy[name] = option[name];
		}
		await this.addModalOptions?.(section, sid);
		const nodes = await map.render();
		ui.showModal(this.titleFn('modaltitle', sid) ?? '%s - %s'.format(this.map.title, sid), [
			nodes,
			E('div', { 'class': 'button-row' }, [
				E('button', { 'class': 'btn cbi-button', 'click': ui.createHandlerFn(this, 'handleModalCancel', map) }, [_('Dismiss')]),
				E('button', {
					'class': 'btn cbi-button cbi-button-positive important',
					'click': ui.createHandlerFn(this, 'handleModalSave', map),
					'disabled': map.readonly || null
				}, [_('Save')])
			])
		], 'cbi-modal');
	},

	handleModalCancel() {
		if (this.map.addedSection)
			uci.remove(this.config, this.map.addedSection);
		this.map.addedSection = null;
		ui.hideModal();
	},

	/* A dialog with a mistake stays open. */
	async handleModalSave(map) {
		try {
			await map.save(null, true);
		}
		catch (error) {
			return;
		}
		this.map.addedSection = null;
		await this.map.load();
		await this.map.reset();
		ui.hideModal();
	}
});

const AbstractValue = Element.extend({
	__init__(map, section, option, ...args) {
		this.super('__init__', args);
		this.map = map;
		this.section = section;
		this.config = map.config;
		this.option = option;
		this.rmempty = true;
		this.optional = false;
		this.default = null;
	},

	cbid(sid) {
		return 'cbid.%s.%s.%s'.format(this.config, sid, this.option);
	},

	value(key, label) {
		this.choices = [...this.choices ?? [], [String(key), label ?? key]];
	},

	load(sid) {
		return uci.get(this.config, sid, this.option);
	},

	cfgvalue(sid, ...value) {
		this.data ??= {};
		if (value.length)
			this.data[sid] = value[0];
		return this.data[sid];
	},

	textvalue(sid) {
		const value = this.cfgvalue(sid) ?? this.default;
		return value == null ? null : '%h'.format(Array.isArray(value) ? value.join(' ') : value);
	},

	formvalue(sid) {
		return this.nodes?.[sid] ? this.read(this.nodes[sid]) : null;
	},

	validate: () => true,

	isValid(sid) {
		return this.judge(sid, this.formvalue(sid)) === true;
	},

	getValidationError(sid) {
		const found = this.judge(sid, this.formvalue(sid));
		return found === true ? '' : found;
	},

	write(sid, value) {
		uci.set(this.config, sid, this.option, value);
	},

	remove(sid) {
		uci.unset(this.config, sid, this.option);
	},

	/* What is wrong with a value that was typed, or true. */
	judge(sid, value) {
		if (value == null || value === '' || value.length === 0)
			return this.optional || this.rmempty ? this.validate(sid, '') : _('Expecting: %s').format(_('non-empty value'));
		return Array.isArray(value)
			? value.map((each) => this.validate(sid, each)).find((each) => each !== true) ?? true
			: this.validate(sid, value);
	},

	/* An option that is not on the page loses its value, as in LuCI: that is a section added since. */
	async parse(sid) {
		if (!this.nodes?.[sid])
			return this.remove(sid);
		if (!this.isValid(sid))
			throw new TypeError('Option "%s" contains an invalid input value. %s'.format(this.title || this.option, this.getValidationError(sid)));
		const value = this.formvalue(sid);
		if (value == null || value === '' || value.length === 0)
			return this.remove(sid);
		if (JSON.stringify(value) != JSON.stringify(this.cfgvalue(sid)))
			return this.write(sid, value);
		return null;
	},

	render(sid) {
		return E('div', {
			'class': 'cbi-value',
			'id': 'cbi-%s-%s-%s'.format(this.config, sid, this.option),
			'data-field': this.cbid(sid),
			'data-name': this.option
		}, [
			E('label', { 'class': 'cbi-value-title', 'for': 'widget.' + this.cbid(sid) }, this.title),
			E('div', { 'class': 'cbi-value-field' }, [
				this.renderWidget(sid),
				this.description ? E('div', { 'class': 'cbi-value-description' }, this.description) : null
			])
		]);
	},

	renderWidget(sid) {
		const value = this.cfgvalue(sid) ?? this.default;
		const node = E('div', { 'id': this.cbid(sid) });
		this.nodes = { ...this.nodes, [sid]: node };
		this.fill(node, 'widget.' + this.cbid(sid), value);
		node.addEventListener('change', () => this.mark(sid));
		return node;
	},

	/* As ui.js does with its `validate`: the field is red and says why. */
	mark(sid) {
		const found = this.judge(sid, this.formvalue(sid));
		for (const input of this.nodes[sid].querySelectorAll('input, select, textarea')) {
			input.classList.toggle('cbi-input-invalid', found !== true);
			input.setAttribute('data-tooltip', found === true ? '' : found);
		}
	},

	input(id, value, attributes) {
		return E('input', {
			'id': id,
			'type': 'text',
			'class': 'cbi-input-text',
			'value': value,
			'placeholder': this.placeholder,
			'disabled': (this.readonly ?? this.map.readonly) || null,
			...attributes
		});
	},

	/* What is typed into it is judged by itself, whatever the option makes of it. */
	combobox(id, value) {
		return new ui.Combobox(value, Object.fromEntries(this.choices), {
			validate: (text) => this.validate(id.split('.')[3], text),
			placeholder: this.placeholder,
			disabled: this.readonly ?? this.map.readonly
		});
	}
});

const Value = AbstractValue.extend({
	fill(node, id, value) {
		const text = Array.isArray(value) ? value.join(' ') : value;
		dom.content(node, this.choices ? this.combobox(id, text).render() : this.input(id, text));
	},

	read(node) {
		return this.choices ? dom.callClassMethod(node.firstChild, 'getValue') : node.querySelector('input').value;
	}
});

const TextValue = AbstractValue.extend({
	fill(node, id, value) {
		dom.content(node, E('textarea', {
			'id': id,
			'class': 'cbi-input-textarea',
			'placeholder': this.placeholder,
			'disabled': (this.readonly ?? this.map.readonly) || null
		}, [value ?? '']));
	},

	read(node) {
		return node.querySelector('textarea').value;
	}
});

const Flag = AbstractValue.extend({
	__init__(...args) {
		this.super('__init__', args);
		this.enabled = '1';
		this.disabled = '0';
		this.default = '0';
	},

	fill(node, id, value) {
		dom.content(node, E('input', {
			'id': id,
			'type': 'checkbox',
			'checked': value == this.enabled ? '' : null,
			'disabled': (this.readonly ?? this.map.readonly) || null
		}));
	},

	read(node) {
		return node.querySelector('input').checked ? this.enabled : this.disabled;
	},

	textvalue(sid) {
		return (this.cfgvalue(sid) ?? this.default) == this.enabled ? _('Yes') : _('No');
	},

	async parse(sid) {
		const value = this.formvalue(sid);
		return value == null || value == this.default && (this.optional || this.rmempty) ? this.remove(sid) : this.write(sid, value);
	}
});

const ListValue = AbstractValue.extend({
	fill(node, id, value) {
		const empty = this.optional ? [E('option', { 'value': '' }, [''])] : [];
		dom.content(node, E('select', {
			'id': id,
			'disabled': (this.readonly ?? this.map.readonly) || null
		}, [...empty, ...this.choices.map(([key, label]) => E('option', {
			'value': key,
			'selected': key == value ? '' : null
		}, [label]))]));
	},

	read(node) {
		return node.querySelector('select').value;
	}
});

/* Items, and a field whose text becomes an item with Enter, unless it was wrong when the last key was let go; with choices
 * a menu whose choice becomes one. */
const DynamicList = AbstractValue.extend({
	fill(node, id, value) {
		node.classList.add('cbi-dynlist');
		const judge = () => {
			const found = input.value ? this.validate(id.split('.')[3], input.value) : true;
			input.classList.toggle('cbi-input-invalid', found !== true);
			input.setAttribute('data-tooltip', found === true ? '' : found);
		};
		const input = this.input(id, null, {
			'keyup': judge,
			'blur': judge,
			'keydown': (ev) => {
				if (ev.key != 'Enter' || !input.value || input.classList.contains('cbi-input-invalid'))
					return;
				add(input.value);
				input.value = '';
			}
		});
		const add = (text) => node.insertBefore(E('div', { 'class': 'item', 'click': (ev) => {
			if (!input.disabled)
				ev.currentTarget.remove();
		} }, [
			E('span', {}, [text]),
			E('input', { 'type': 'hidden', 'value': text })
		]), node.lastChild);
		const menu = this.choices ? this.combobox(id, null) : null;
		dom.content(node, [E('div', { 'class': 'add-item' }, [menu ? menu.render() : input])]);
		node.addEventListener('cbi-dropdown-change', (ev) => {
			const chosen = ev.detail.value;
			if (chosen == null)
				return;
			menu.setValue(null);
			chosen.element.setAttribute('unselectable', '');
			if (!this.read(node).includes(chosen.value))
				add(chosen.value);
		});
		L.toArray(value).forEach(add);
	},

	mark() {},

	read(node) {
		return Array.from(node.querySelectorAll('.item > input')).map((each) => each.value);
	},

	/* LuCI's own asks the list for a value, and the list has none: whatever is typed is fine. */
	isValid: () => true,
	getValidationError: () => ''
});

return baseclass.extend({ Map: FormMap, NamedSection, GridSection, Value, TextValue, Flag, ListValue, DynamicList });
