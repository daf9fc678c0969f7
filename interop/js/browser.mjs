// Chromium for the page tests: one browser, pages that fail the test when they log an error or throw.
import assert from "node:assert/strict";
import { after } from "node:test";
import { chromium } from "playwright-core";

let browser;
after(() => browser?.close());

/** Starts Chromium once. */
export async function launch() {
	browser ??= await chromium.launch({
		executablePath: process.env.CHROMIUM,
		args: [
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync",
		],
	});
	return browser;
}

/**
 * Opens a page in a profile of its own, as another person would. The returned function asserts that nothing went
 * wrong in it so far; what matches expected may.
 */
export async function openPage(url, options = {}) {
	const context = await (await launch()).newContext({ viewport: { width: 760, height: 760 }, ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(15_000);
	const wrong = [];
	page.on("pageerror", (error) => wrong.push(`uncaught: ${error.stack ?? error}`));
	page.on("console", (message) => {
		if (message.type() === "error") wrong.push(`console: ${message.text()}`);
	});
	await page.goto(url);
	return {
		page,
		assertClean(expected = /^$/) {
			assert.deepEqual(wrong.filter((line) => !expected.test(line)), []);
		},
	};
}

/** Takes a screenshot into the folder that the test asked for. */
export async function shot(page, name) {
	await page.screenshot({ path: `${process.env.INTEROP_SHOTS}/${name}.png` });
}
