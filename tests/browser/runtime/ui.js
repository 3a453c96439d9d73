'use strict';
'require baseclass';
'require dom';
'require uci';

/* Modal dialogs, messages, and what Save & Apply shows. */
return baseclass.extend({
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
