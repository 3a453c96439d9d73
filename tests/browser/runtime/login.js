'use strict';
'require baseclass';
'require rpc';

/* LuCI's form goes to its dispatcher, which asks rpcd; this one asks rpcd itself. */
return baseclass.extend({
	__init__() {
		const login = rpc.declare({ object: 'session', method: 'login', params: ['username', 'password'] });
		const submit = async(ev) => {
			ev.preventDefault();
			const found = await login(ev.target.luci_username.value, ev.target.luci_password.value);
			if (!found.ubus_rpc_session)
				return E(document.querySelector('#message'), {}, [_('Invalid username and/or password! Please try again.')]);
			document.cookie = 'sysauth=' + found.ubus_rpc_session + '; path=/; samesite=strict';
			return window.location.reload();
		};
		E(document.querySelector('#view'), {}, [
			E('form', { 'submit': submit }, [
				E('p', { 'id': 'message' }),
				E('input', { 'name': 'luci_username', 'value': 'root' }),
				E('input', { 'name': 'luci_password', 'type': 'password' }),
				E('button', { 'class': 'btn cbi-button-positive' }, [_('Log in')])
			])
		]);
	}
});
