'use strict';
'require baseclass';

// The graphs of luci-app-statistics for what /usr/libexec/collectd/viscum.sh says of each service.

function bothWays(title, vlabel, type, unit) {
	return {
		per_instance: true,
		title: title,
		vlabel: vlabel,
		data: {
			sources: { [type]: [ 'rx', 'tx' ] },
			options: {
				[type + '__rx']: { title: unit + ' to it', total: true, color: '0000ff' },
				[type + '__tx']: { title: unit + ' from it', total: true, flip: true, color: '00ff00' }
			}
		}
	};
}

function single(title, vlabel, type, name, format) {
	return {
		per_instance: true,
		title: title,
		vlabel: vlabel,
		y_min: '0',
		number_format: format,
		data: {
			types: [ type ],
			options: { [type]: { title: name, color: '0000ff' } }
		}
	};
}

return baseclass.extend({
	title: _('Viscum'),

	rrdargs: function(graph, host, plugin, instance) {
		const types = graph.dataTypes(host, plugin, instance);
		const graphs = [
			bothWays('%H: traffic of %pi', 'Bytes/s', 'if_octets', 'Bytes'),
			bothWays('%H: packets of %pi', 'Packets/s', 'if_packets', 'Packets'),
			single('%H: connections of %pi', 'Connections', 'current_connections', 'TCP', '%3.0lf')
		];

		if (types.includes('memory'))
			graphs.push(single('%H: memory of %pi', 'Bytes', 'memory', 'Memory', '%5.1lf%s'));
		if (types.includes('gauge'))
			graphs.push({
				...single('%H: %pi is at the edge', 'Devices', 'gauge', '', '%3.0lf'),
				per_instance: false,
				data: {
					instances: { gauge: [ 'redirects' ] },
					options: { gauge_redirects: { title: 'Redirects', color: '00aa00' } }
				}
			});

		return graphs;
	}
});
