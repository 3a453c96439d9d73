"""What can be measured of how a page looks: what is too wide, where things are, what is too pale, what curves show."""


def too_wide(page):
    """What goes beyond the edges of the window, or of its own box: that is cut off, or lies on its neighbour."""
    return page.run(TOO_WIDE)


TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth, found = [];
    const wide = document.scrollingElement.scrollWidth;
    if (wide > width)
        found.push(`the document: ${wide}`);
    for (const node of document.body.querySelectorAll('*')) {
        const { left, right } = node.getBoundingClientRect();
        const boxed = !(node instanceof SVGElement) && getComputedStyle(node).display !== 'inline';
        const { scrollWidth, clientWidth } = node;
        if (left < -0.5 || right > width + 0.5 || (boxed && scrollWidth > clientWidth + 1))
            found.push(`${node.localName} .${node.className} ${left} to ${right}, ${scrollWidth} in ${clientWidth}`);
    }
    return found;
}"""


def places(page):
    """Where on the page everything is that a person reads, or may be about to press: {what: (x, y, width, height)}."""
    return {name: tuple(place) for name, place in page.run(PLACES)}


PLACES = """() => {
    const what = 'h2, summary, tr, th, td, button, a, svg, select, input, pre, strong, .viscum-figure, .viscum-finding';
    const nodes = [ ...document.querySelectorAll('#view *') ].filter((node) => node.matches(what));
    const still = nodes.filter((node) => node.checkVisibility() && !node.closest('.alert-message'));
    return still.map((node, i) => {
        const { x, y, width, height } = node.getBoundingClientRect();
        const service = node.closest('[data-service]')?.dataset.service;
        return [ [ i, node.localName, node.dataset.name, service ].join(' '),
            [ x + window.scrollX, y + window.scrollY, width, height ].map((each) => Math.round(100 * each) / 100) ];
    });
}"""


def moved(before, after):
    names = {**before, **after}
    return {each: (before.get(each), after.get(each)) for each in names if before.get(each) != after.get(each)}


def pale(page):
    """Text with too little contrast (WCAG 2.2, 1.4.3). Buttons and messages have the theme's colours and no other."""
    return page.run(PALE)


PALE = """() => {
    const parse = (text) => {
        const [ r, g, b, a = 1 ] = text.match(/[\\d.]+/g).map(Number);
        return { rgb: [ r, g, b ], a };
    };
    const linear = (part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    const light = (rgb) => {
        const [ r, g, b ] = rgb.map((each) => linear(each / 255));
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const found = [];
    const walk = document.createTreeWalker(document.querySelector('#view'), NodeFilter.SHOW_TEXT);
    let read = 0;
    while (walk.nextNode()) {
        const own = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
        if (!text || !own.checkVisibility() || own.closest('.btn, .alert-message, style, option'))
            continue;
        const ink = parse(getComputedStyle(own).color);
        let ground = null, opacity = ink.a;
        for (let node = own; node; node = node.parentElement) {
            const style = getComputedStyle(node);
            opacity *= style.opacity;
            if (!ground && parse(style.backgroundColor).a === 1)
                ground = parse(style.backgroundColor).rgb;
        }
        const seen = ink.rgb.map((part, i) => part * opacity + ground[i] * (1 - opacity));
        const [ dark, bright ] = [ light(seen), light(ground) ].sort((one, other) => one - other);
        const contrast = (bright + .05) / (dark + .05);
        read++;
        if (contrast < 4.5)
            found.push(`${contrast.toFixed(2)}: ${own.className} ${text.slice(0, 40)}`);
    }
    return read > 50 ? found : [ `only ${read} texts` ];
}"""


def curves(page):
    """Of each curve: where it begins and ends, as parts of its box, how many samples it has, whether it is level."""
    return page.run(CURVES)


CURVES = """() => [ ...document.querySelectorAll('.viscum-curve') ].map((curve) => {
    const points = curve.querySelector('polyline').getAttribute('points').split(' ').map((point) => point.split(','));
    const width = curve.viewBox.baseVal.width;
    return {
        first: points[0][0] / width,
        last: points.at(-1)[0] / width,
        samples: points.length,
        level: new Set(points.map(([ , y ]) => y)).size === 1,
        broad: curve.getBoundingClientRect().width > 60
    };
})"""
