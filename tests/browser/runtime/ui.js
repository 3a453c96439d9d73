'use strict';
'require baseclass';
'require dom';
'require uci';

/* A menu of choices, and a field in it for another one, which is chosen by Enter and in no other way. What is typed there
 * stays when the menu closes. */
const Combobox = baseclass.extend({
	__init__(value, choices, options) {
		this.value = value || null;
		this.choices = choices;
		this.options = options;
	},

	render() {
		const keys = Object.keys(this.choices);
		if (this.value != null && !keys.includes(this.value))
			keys.push(this.value);
		this.input = E('input', {
			'type': 'text',
			'class': 'create-item-input',
			'keydown': (ev) => this.typing(ev),
			'keyup': () => this.judge(),
			'blur': () => this.judge()
		});
		this.list = E('ul', {}, [
			E('li', { 'placeholder': '' }, [this.options.placeholder ?? '-- Please choose --']),
			...keys.map((key) => this.item(key)),
			E('li', { 'data-value': '-', 'unselectable': '', 'click': () => this.input.focus() }, [this.input])
		]);
		this.node = E('div', {
			'class': 'cbi-dropdown',
			'tabindex': 0,
			'disabled': this.options.disabled || null,
			'click': (ev) => this.click(ev),
			'cbi-dropdown-close': () => this.close()
		}, [this.list]);
		this.select(this.found(this.value));
		this.hide(true);
		dom.bindClassInstance(this.node, this);
		window.addEventListener('click', () => this.close());
		return this.node;
	},

	item(key) {
		return E('li', { 'data-value': key, 'tabindex': 0 }, [this.choices[key] ?? key]);
	},

	found(key) {
		return [...this.list.children].find((each) => each.getAttribute('data-value') === key) ?? this.list.firstChild;
	},

	/* While it is closed, only what is chosen is seen. */
	hide(closed) {
		for (const each of this.list.children)
			each.hidden = closed && !each.hasAttribute('selected');
	},

	judge() {
		const found = this.input.value ? this.options.validate(this.input.value) : true;
		this.input.classList.toggle('cbi-input-invalid', found !== true);
		this.input.setAttribute('data-tooltip', found === true ? '' : found);
	},

	click(ev) {
		ev.stopPropagation();
		ev.preventDefault();
		const item = ev.target.closest('li');
		if (!this.node.hasAttribute('open'))
			this.open();
		else if (item)
			this.choose(item);
		else
			this.close();
	},

	open() {
		if (this.options.disabled)
			return;
		document.querySelectorAll('.cbi-dropdown[open]').forEach((each) => each.dispatchEvent(new CustomEvent('cbi-dropdown-close')));
		this.node.setAttribute('open', '');
		this.hide(false);
	},

	close() {
		if (!this.node.hasAttribute('open'))
			return;
		this.node.removeAttribute('open');
		this.hide(true);
		this.say();
	},

	/* `input.value` goes only after all others have heard of it, as in LuCI. */
	typing(ev) {
		const text = this.input.value.trim();
		if (ev.keyCode == 13) {
			ev.preventDefault();
			if (this.input.classList.contains('cbi-input-invalid') || !text)
				return;
			if (this.found(text) == this.list.firstChild)
				this.list.insertBefore(this.item(text), this.list.lastChild);
			this.choose(this.found(text));
			this.found(text).focus();
			this.input.value = '';
		}
		if (ev.keyCode == 27) {
			this.close();
			ev.stopPropagation();
			this.input.value = '';
		}
	},

	choose(item) {
		if (item.hasAttribute('unselectable'))
			return;
		this.select(item);
		this.close();
		this.hide(!this.node.hasAttribute('open'));
		this.say();
	},

	select(item) {
		this.list.querySelector('[selected]')?.removeAttribute('selected');
		item.setAttribute('selected', '');
	},

	setValue(value) {
		this.choose(this.found(value));
	},

	getValue() {
		return this.list.querySelector('[selected]:not([placeholder])')?.getAttribute('data-value');
	},

	say() {
		const value = this.getValue();
		this.node.dispatchEvent(new CustomEvent('cbi-dropdown-change', {
			bubbles: true,
			detail: { instance: this, element: this.node, value: value == null ? null : { value, element: this.found(value) } }
		}));
	}
});

/* Modal dialogs, messages, what Save & Apply shows, and the one widget that is not in form.js. */
return baseclass.extend({
	Combobox,

	__init__() {
		this.overlay = document.body.appendChild(E('div', { 'id': 'modal_overlay', 'hidden': '' }, [
			E('div', { 'class': 'modal', 'role': 'dialog' })
		]));
		this.hideModal = this.hideModal.bind(this);
		this.changes = { apply: this.apply.bind(this) };
	},

	showModal(title, children, ...classes) {
		const dialog = this.overlay.firstElementChild;
		dialog.className = ['modal', ...classes].join(' ');
		dom.content(dialog, E('h4', {}, title));
		dom.append(dialog, children);
		this.overlay.hidden = false;
		return dialog;
	},

	hideModal() {
		this.overlay.hidden = true;
		dom.content(this.overlay.firstElementChild, null);
	},

	addNotification(title, children, ...classes) {
		const message = E('div', { 'class': ['alert-message', ...classes].join(' ') }, [
			E('div'),
			E('button', { 'class': 'btn', 'click': (ev) => ev.target.parentNode.remove() }, [_('Dismiss')])
		]);
		if (title != null)
			dom.append(message.firstChild, E('h4', {}, title));
		dom.append(message.firstChild, children);
		document.querySelector('#maincontent').prepend(message);
		return message;
	},

	addTimeLimitedNotification(title, children, timeout, ...classes) {
		const message = this.addNotification(title, children, ...classes);
		window.setTimeout(() => message.remove(), timeout);
		return message;
	},

	createHandlerFn(context, fn, ...args) {
		const called = typeof(fn) == 'string' ? context[fn] : fn;
		if (typeof(called) != 'function')
			return null;
		return (ev) => {
			const button = ev.currentTarget;
			button.classList.add('spinning');
			button.disabled = true;
			Promise.resolve(called.call(context, ...args, ev)).finally(() => {
				button.classList.remove('spinning');
				button.disabled = false;
			});
		};
	},

	/* LuCI goes to its dispatcher, which calls rpcd's apply and confirm; this calls them itself. */
	async apply(checked) {
		if (!Object.keys(await uci.changes()).length)
			return this.showModal(_('Apply configuration'), E('p', _('There are no changes to apply')));
		this.showModal(_('Apply configuration'), E('p', { 'class': 'spinning' }, _('Applying configuration changes…')));
		await uci.apply(10, checked);
		this.showModal(_('Apply configuration'), E('p', _('Configuration changes applied.')));
		document.dispatchEvent(new CustomEvent('uci-applied'));
		return window.setTimeout(() => window.location.reload(), 200);
	}
});
