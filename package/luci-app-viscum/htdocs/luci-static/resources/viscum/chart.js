'use strict';
'require baseclass';

/*
 * A curve of the last few minutes, small enough for a table's cell. It takes the colour of the text around it.
 *
 * It always fills its box: what is known, be it two samples, spans the whole width, and gets denser until the oldest
 * sample leaves. On a scale of three minutes the box would stay nearly empty for as long as most people look at it. How
 * long a time the curve shows is in its title. With a single sample it is a level line, with none a line at the base.
 */

const SAMPLES = 90;
/* Seconds between two samples. A page asks twice when it opens and more often while it waits for what a button began, but
 * packets come in bursts: what came in less time says nothing of a speed. */
const SHORTEST = 1;
const WIDTH = 120, HEIGHT = 28;
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes) {
	const node = document.createElementNS(SVG, name);

	for (const key in attributes)
		node.setAttribute(key, attributes[key]);
	return node;
}

/* A stroke is as thick wherever the box is stretched to. */
function stroke(name, attributes) {
	return element(name, Object.assign({ fill: 'none', stroke: 'currentColor', 'stroke-width': '1.5',
		'vector-effect': 'non-scaling-stroke' }, attributes));
}

/* Units of 1000, as for the speed of a line. */
function rate(bits) {
	const units = [ 'bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s' ];
	let i = 0;

	for (; bits >= 1000 && i < units.length - 1; i++)
		bits /= 1000;
	return '%s %s'.format(bits >= 100 || i === 0 ? Math.round(bits) : bits.toPrecision(2), units[i]);
}

/* Whether a sample was taken a moment ago; the clock may have been set back since. */
function soon(before, now) {
	return now >= before && now - before < SHORTEST;
}

/* One curve; `words` says a value of it for people. */
function Curve(words) {
	this.words = words;
	this.samples = [];
	this.last = null;
	this.line = stroke('polyline', {});
	this.beside = stroke('line', { x1: 0, x2: WIDTH, 'stroke-dasharray': '4 3', 'stroke-opacity': '.6' });
	this.area = element('polygon', { fill: 'currentColor', 'fill-opacity': '0.15' });
	this.title = element('title', {});
	this.node = element('svg', { viewBox: '0 0 %d %d'.format(WIDTH, HEIGHT), width: WIDTH, height: HEIGHT,
		preserveAspectRatio: 'none', role: 'img', 'class': 'viscum-curve' });
	this.node.append(this.title, this.area, this.line, this.beside);
	this.draw();
}

/* Bits per second since the last sample, of a counter of bytes and when it was read (seconds). A counter that went back
 * was begun anew, so nothing is known of that time. */
Curve.prototype.add = function(bytes, now) {
	const last = this.last;

	if (last != null && soon(last.now, now))
		return last.bits;
	const bits = last == null ? 0 : Math.max(0, 8 * (bytes - last.bytes) / (now - last.now));
	this.last = { bytes: bytes, now: now, bits: bits };
	if (last != null)
		this.sample(bits, last.now, now);
	return bits;
};

/* A value at a time (seconds), and another one to compare it with, if there is one: that becomes a dashed line. */
Curve.prototype.put = function(value, now, other) {
	if (this.samples.length && soon(this.until, now))
		return;
	this.other = other;
	this.sample(value, now, now);
};

/* One more sample, of a value that held from one time to another. */
Curve.prototype.sample = function(value, since, until) {
	this.samples.push({ value: value, since: since });
	if (this.samples.length > SAMPLES)
		this.samples.shift();
	this.until = until;
	this.draw();
};

Curve.prototype.draw = function() {
	const values = this.samples.map((sample) => sample.value);
	const known = values.length > 1 ? values : [ values[0] || 0, values[0] || 0 ];
	const highest = Math.max(...known), scale = Math.max(highest, this.other || 0);
	const height = (value) => (HEIGHT - 1 - (HEIGHT - 2) * (scale ? value / scale : 0)).toFixed(1);
	const step = WIDTH / (known.length - 1);
	const points = known.map((value, i) => '%s,%s'.format((i * step).toFixed(1), height(value))).join(' ');

	this.title.textContent = this.caption(highest);
	this.beside.setAttribute('visibility', this.other ? 'visible' : 'hidden');
	this.beside.setAttribute('y1', height(this.other || 0));
	this.beside.setAttribute('y2', height(this.other || 0));
	if (points === this.points)
		return;
	this.points = points;
	this.line.setAttribute('points', points);
	this.area.setAttribute('points', '0,%d %s %d,%d'.format(HEIGHT, points, WIDTH, HEIGHT));
};

Curve.prototype.caption = function(highest) {
	if (!this.samples.length)
		return _('Nothing is known yet');
	const seconds = Math.round(this.until - this.samples[0].since);

	return seconds < 120
		? _('The last %d seconds, at most %s').format(seconds, this.words(highest))
		: _('The last %d minutes, at most %s').format(Math.round(seconds / 60), this.words(highest));
};

return baseclass.extend({
	/* Of a counter of bytes: feed it by add(). */
	curve: function() {
		return new Curve(rate);
	},

	/* Of a value that `words` says for people: feed it by put(). */
	gauge: function(words) {
		return new Curve(words);
	},

	rate: rate
});
