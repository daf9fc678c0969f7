// @rivetkit/react in Chromium: a page of another origin, two tabs, one counter.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { openPage, shot } from "./browser.mjs";
import { encoding, endpoint } from "./harness.mjs";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));

const bundle = await build({
	entryPoints: [file("react/app.jsx")],
	bundle: true,
	format: "esm",
	platform: "browser",
	conditions: ["browser"],
	target: ["es2022"],
	jsx: "automatic",
	define: { "process.env.NODE_ENV": '"production"' },
	write: false,
	logLevel: "warning",
});
const files = {
	"/": ["text/html; charset=utf-8", await readFile(file("react/index.html"))],
	"/app.js": ["text/javascript; charset=utf-8", bundle.outputFiles[0].contents],
};

// The page comes from an origin of its own, so that the server's CORS answers are part of the test.
const pages = createServer((request, response) => {
	const found = files[new URL(request.url, "http://page").pathname];
	response.writeHead(found ? 200 : 404, { "content-type": found?.[0] ?? "text/plain" }).end(found?.[1]);
});
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
after(() => pages.close());

const address = `http://127.0.0.1:${pages.address().port}/`;
const pool = process.env.RIVET_POOL ? { pool: process.env.RIVET_POOL } : {};
const url = (key) => `${address}?${new URLSearchParams({ endpoint, encoding, key, ...pool })}`;

/** A tab that is connected. */
async function tab(key) {
	const opened = await openPage(url(key));
	await opened.page.locator("#status").filter({ hasText: /^connected$/ }).waitFor();
	return opened;
}

async function count(page, value) {
	await page.locator("#count").filter({ hasText: new RegExp(`^${value}$`) }).waitFor();
}

test("increments from two tabs appear in both", async () => {
	const key = randomUUID();
	const a = await tab(key);
	const b = await tab(key);
	// Both have read: their subscriptions, sent before, are in force.
	for (const { page } of [a, b]) {
		await page.getByRole("button", { name: "read" }).click();
		await count(page, 0);
	}
	for (const [i, { page }] of [a, b, a, b, b].entries()) {
		await page.getByRole("button", { name: "increment" }).click();
		await count(a.page, i + 1);
		await count(b.page, i + 1);
	}
	assert.equal(await a.page.locator("#events").textContent(), "5");
	assert.equal(await b.page.locator("#events").textContent(), "5");
	await shot(a.page, `react-${encoding}${pool.pool ? "-engine" : ""}`);
	a.assertClean();
	b.assertClean();
});

test("a tab that opens later reads the count", async () => {
	const key = randomUUID();
	const first = await tab(key);
	await first.page.getByRole("button", { name: "increment" }).click();
	await count(first.page, 1);
	await first.page.context().close();
	const second = await tab(key);
	await second.page.getByRole("button", { name: "read" }).click();
	await count(second.page, 1);
	second.assertClean();
});
