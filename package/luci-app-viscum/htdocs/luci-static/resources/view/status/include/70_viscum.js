'use strict';
'require baseclass';
'require viscum.agent as agent';

/* On the overview page: how many services are in which state, and the names of those that are not well. */

const NAMED = 5; /* of one state */
const SICK = [ 'fair', 'bad' ];

return baseclass.extend({
	title: _('Viscum'),

	/* Never fails: that would take the rest of the overview with it. */
	load: function() {
		return document.hidden ? Promise.resolve(this.last) : agent.status().catch((error) => error);
	},

	render: function(answer) {
		this.last = answer;
		if (answer == null || answer.kind === 'denied' || answer.kind === 'expired')
			return null;
		if (answer instanceof Error)
			return E('em', {}, [ answer.message ]);
		const names = (state) => Object.keys(answer.services).filter((name) => answer.services[name].state === state).sort();
		const there = Object.keys(agent.states).filter((state) => names(state).length);

		if (!there.length)
			return E('em', {}, [ _('There are no services.') ]);
		return E('div', { 'class': 'viscum-overview' }, [ E('style', {}, [ agent.style ]) ].concat(there.map((state) =>
			E('span', { 'class': 'viscum-state viscum-' + agent.states[state].mood, 'style': 'margin-right: 1.5em' }, [
				'%d %s'.format(names(state).length, agent.states[state].word) + this.sick(state, names(state))
			])
		)));
	},

	sick: function(state, names) {
		if (!SICK.includes(agent.states[state].mood))
			return '';
		return ': ' + names.slice(0, NAMED).join(', ') + (names.length > NAMED ? ', …' : '');
	}
});
