'use strict';
'require baseclass';

/* A curve of the last few minutes, small enough for a table's cell. It takes the colour of the text around it. */

const SAMPLES = 90;
const WIDTH = 120, HEIGHT = 28;
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes) {
	const node = document.createElementNS(SVG, name);

	for (const key in attributes)
		node.setAttribute(key, attributes[key]);
	return node;
}

/* Units of 1000, as for the speed of a line. */
function rate(bits) {
	const units = [ 'bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s' ];
	let i = 0;

	for (; bits >= 1000 && i < units.length - 1; i++)
		bits /= 1000;
	return '%s %s'.format(bits >= 100 || i === 0 ? Math.round(bits) : bits.toPrecision(2), units[i]);
}

/* One curve, fed with what a counter of bytes says and when (seconds). */
function Curve() {
	this.rates = [];
	this.last = null;
	this.line = element('polyline', { fill: 'none', stroke: 'currentColor', 'stroke-width': '1.5',
		'vector-effect': 'non-scaling-stroke' });
	this.area = element('polygon', { fill: 'currentColor', 'fill-opacity': '0.15' });
	this.title = element('title', {});
	this.node = element('svg', { viewBox: '0 0 %d %d'.format(WIDTH, HEIGHT), width: WIDTH, height: HEIGHT,
		preserveAspectRatio: 'none', role: 'img', 'class': 'viscum-curve' });
	this.node.append(this.title, this.area, this.line);
}

/* Bits per second since the last time. A counter that went back was begun anew, so nothing is known of that time. */
Curve.prototype.add = function(bytes, now) {
	const last = this.last;

	this.last = { bytes: bytes, now: now };
	if (last == null || now <= last.now)
		return 0;
	const bits = Math.max(0, 8 * (bytes - last.bytes) / (now - last.now));
	this.rates.push(bits);
	if (this.rates.length > SAMPLES)
		this.rates.shift();
	this.draw();
	return bits;
};

Curve.prototype.draw = function() {
	const highest = Math.max(...this.rates);
	const step = WIDTH / (SAMPLES - 1);
	const points = this.rates.map((bits, i) => '%s,%s'.format(
		(i * step).toFixed(1),
		(HEIGHT - 1 - (HEIGHT - 2) * (highest ? bits / highest : 0)).toFixed(1)
	)).join(' ');

	if (points === this.points && highest === this.highest)
		return;
	this.points = points;
	this.highest = highest;
	this.line.setAttribute('points', points);
	this.area.setAttribute('points', '0,%d %s %s,%d'.format(HEIGHT, points, ((this.rates.length - 1) * step).toFixed(1), HEIGHT));
	this.title.textContent = _('The last %d minutes, at most %s').format(3, rate(highest));
};

return baseclass.extend({
	curve: function() {
		return new Curve();
	},

	rate: rate
});
