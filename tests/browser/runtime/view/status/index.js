'use strict';
'require view';
'require dom';
'require poll';

/* The overview page: each widget's load() and render(), again and again, as luci-mod-status does it. */
return view.extend({
	handleSave: null,
	handleSaveApply: null,
	handleReset: null,

	async load() {
		this.widgets = await Promise.all(L.env.includes.map((name) => L.require(name)));
		this.places = this.widgets.map((widget) => E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [widget.title ?? '']),
			E('div')
		]));
	},

	async refresh() {
		for (const [index, widget] of this.widgets.entries()) {
			const node = widget.render(await widget.load?.());
			dom.content(this.places[index].lastChild, node);
			this.places[index].hidden = !node;
		}
	},

	async render() {
		await this.refresh();
		poll.add(() => this.refresh());
		return this.places;
	}
});
