/* Chromium at the end of a pipe: reads one order a line, {"do": ..., "args": [...]}, and answers with one line each.
 *
 *     node driver.mjs FOLDER_WITH_NODE_MODULES CHROMIUM
 *
 * Orders: `new` opens a page that shares nothing with earlier ones, `end` closes it, `noise` is what its console said of
 * errors, `hide` and `show` are another tab in front of it, all others are methods of Playwright's Page. A function is sent
 * as its source, {"function": "(argument) => ..."}.
 */
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [, , folder, executablePath] = process.argv;
const { chromium } = createRequire(folder + '/')('playwright-core');
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--disable-sync'];

const browser = await chromium.launch({ executablePath, headless: true, chromiumSandbox: false, args: FLAGS });
let page, noise;

const orders = {
	async new(options) {
		const context = await browser.newContext(options);
		context.setDefaultTimeout(15000);
		page = await context.newPage();
		noise = [];
		page.on('pageerror', (error) => noise.push(String(error)));
		page.on('dialog', (dialog) => {
			noise.push('dialog: ' + dialog.message());
			return dialog.dismiss();
		});
	},
	end: () => page.context().close(),
	async hide() {
		const cdp = await page.context().newCDPSession(page);
		const { windowId } = await cdp.send('Browser.getWindowForTarget');
		await cdp.send('Emulation.setFocusEmulationEnabled', { enabled: false });
		await cdp.send('Browser.setWindowBounds', { windowId, bounds: { windowState: 'minimized' } });
	},
	noise: () => noise.splice(0)
};

function argument(value) {
	return value && value.function ? new Function('return ' + value.function)() : value;
}

/* What JSON can carry; a handle of Playwright's is no answer. */
function plain(value) {
	const kinds = [String, Number, Boolean, Array, Object];
	return value != null && kinds.includes(value.constructor) ? value : null;
}

for await (const line of createInterface({ input: process.stdin })) {
	const order = JSON.parse(line);
	let answer;
	try {
		const run = orders[order.do] ?? page[order.do].bind(page);
		answer = { value: plain(await run(...order.args.map(argument))) };
	}
	catch (error) {
		answer = { error: String(error.message ?? error) };
	}
	process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
