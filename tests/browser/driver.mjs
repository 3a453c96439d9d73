/* Chromium at the end of a pipe: reads one order a line, {"do": ..., "args": [...]}, and answers with one line each.
 *
 *     node driver.mjs CHROMIUM PROFILE
 *
 * Orders: `new` opens a page without the cookies of earlier ones, `end` closes it, `noise` is what went wrong in its code
 * and the dialogs it opened, `hide` puts another tab in front of it and `show` takes that away; all others are methods of
 * Playwright's Page. A function is sent as its source, {"function": "(argument) => ..."}.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const [, , executable, profile] = process.argv;
/* Milliseconds after which something is taken to hang, as in tests/lab.py. */
const HANG = 120000;
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
	'--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];

/* Chromium is started here, and its own context is used: Playwright tells pages in those it makes that they are always
 * visible, and there are tests of hidden ones. */
const chrome = spawn(executable, [...FLAGS, '--user-data-dir=' + profile, '--remote-debugging-port=0', 'about:blank'],
	{ stdio: 'ignore' });
const browser = await chromium.connectOverCDP(await address(), { noDefaults: true });
const [context] = browser.contexts();
let page, other, noise;

/* Chromium makes the file first and writes its port into it then. */
async function address() {
	for (let left = HANG / 50; left; left--) {
		const [, port] = /^(\d+)\n/.exec(await readFile(profile + '/DevToolsActivePort', 'utf8').catch(() => '')) ?? [];
		if (port)
			return 'http://127.0.0.1:' + port;
		await sleep(50);
	}
	throw new Error('Chromium did not start');
}

const orders = {
	async new(size) {
		await context.clearCookies();
		page = await context.newPage();
		await page.setViewportSize(size);
		page.setDefaultTimeout(HANG);
		noise = [];
		page.on('pageerror', (error) => noise.push(String(error)));
		page.on('dialog', (dialog) => {
			noise.push('dialog: ' + dialog.message());
			// A page that is left or closed takes its dialog with it: nothing to dismiss then.
			return dialog.dismiss().catch(() => {});
		});
	},
	end: () => page.close(),
	async hide() {
		other = await context.newPage();
		await other.bringToFront();
	},
	async show() {
		await page.bringToFront();
		await other.close();
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
chrome.kill();
