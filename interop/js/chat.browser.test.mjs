// The chat example's page, opened by two people.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { openPage, shot } from "./browser.mjs";
import { endpoint, waitFor } from "./harness.mjs";

const control = (what) => fetch(`${process.env.INTEROP_CONTROL}/${what}`, { method: "POST" }).then(async (answer) => assert.equal(answer.status, 200, await answer.text()));
const roomUrl = (room) => `${endpoint}/?room=${encodeURIComponent(room)}`;

async function join(page, name) {
	await page.getByLabel("Your name").fill(name);
	await page.getByRole("button", { name: "Join" }).click();
	await page.locator('#status[data-state="connected"]').waitFor();
}

async function say(page, text) {
	await page.getByLabel("Message", { exact: true }).fill(text);
	await page.getByRole("button", { name: "Send" }).click();
}

/** Waits until the page shows exactly these lines, "sender: text" each. */
async function shows(page, lines) {
	let seen;
	await waitFor(`the page to show ${JSON.stringify(lines)}`, async () => {
		seen = await page.locator("#messages li").evaluateAll((items) => items.map((item) => `${item.querySelector(".sender").textContent}: ${item.querySelector(".text").textContent}`));
		return JSON.stringify(seen) === JSON.stringify(lines);
	}).catch((error) => assert.fail(`${error.message}, it shows ${JSON.stringify(seen)}`));
}

test("two people talk, and a reload shows the history", async () => {
	const url = roomUrl(`talk ${randomUUID()}`);
	const ada = await openPage(url);
	const bob = await openPage(url, { colorScheme: "dark" });
	await shot(ada.page, "chat-join");
	await join(ada.page, "Ada");
	await join(bob.page, "Bob");

	await say(ada.page, "Hello Bob, 漢字 🚀");
	const lines = ["Ada: Hello Bob, 漢字 🚀"];
	await shows(ada.page, lines);
	await shows(bob.page, lines);
	await say(bob.page, "<b>Hi</b> Ada & all");
	lines.push("Bob: <b>Hi</b> Ada & all");
	await say(ada.page, `${"a long line ".repeat(20)}`);
	lines.push(`Ada: ${"a long line ".repeat(20).trim()}`);
	await Promise.all([ada, bob].map(async ({ page }) => {
		await page.locator("#messages li:nth-child(3)").waitFor();
	}));
	const order = await ada.page.locator("#messages .text").allTextContents();
	if (order[1].startsWith("a long")) [lines[1], lines[2]] = [lines[2], lines[1]];
	await shows(ada.page, lines);
	await shows(bob.page, lines);
	await shot(ada.page, "chat-ada");
	await shot(bob.page, "chat-bob-dark");

	await bob.page.reload();
	await bob.page.locator('#status[data-state="connected"]').waitFor();
	await shows(bob.page, lines);
	await say(bob.page, "back again");
	await shows(ada.page, [...lines, "Bob: back again"]);
	ada.assertClean();
	bob.assertClean();
});

test("rooms are apart", async () => {
	const here = await openPage(roomUrl(`here ${randomUUID()}`));
	const there = await openPage(roomUrl(`there ${randomUUID()}`));
	await join(here.page, "Ada");
	await join(there.page, "Bob");
	await say(here.page, "only here");
	await shows(here.page, ["Ada: only here"]);
	await say(there.page, "only there");
	await shows(there.page, ["Bob: only there"]);
	here.assertClean();
	there.assertClean();
});

test("an error of the actor is shown, and what was typed is kept", async () => {
	const { page } = await openPage(roomUrl(`errors ${randomUUID()}`));
	await join(page, "Ada");
	// The field stops at 2,000 characters; a program need not.
	await page.locator("#text").evaluate((input) => {
		input.removeAttribute("maxlength");
		input.value = "x".repeat(2001);
	});
	await page.getByRole("button", { name: "Send" }).click();
	await page.getByRole("alert").filter({ hasText: /2000/ }).waitFor();
	assert.equal(await page.locator("#text").inputValue(), "x".repeat(2001));
	await shot(page, "chat-error");
	await say(page, "short enough");
	await shows(page, ["Ada: short enough"]);
	assert.equal(await page.getByRole("alert").isVisible(), false);
});

test("a refused connection leads back to the form", async () => {
	const { page } = await openPage(roomUrl(`refused ${randomUUID()}`));
	await page.locator("#name").evaluate((input) => {
		input.removeAttribute("maxlength");
		input.value = "n".repeat(41);
	});
	await page.getByRole("button", { name: "Join" }).click();
	await page.getByRole("alert").filter({ hasText: /40/ }).waitFor();
	assert.equal(await page.getByLabel("Your name").isVisible(), true);
	await page.getByLabel("Your name").fill("Ada");
	await join(page, "Ada");
});

test("the page survives a crash of the server", async () => {
	const { page } = await openPage(roomUrl(`crash ${randomUUID()}`));
	await join(page, "Ada");
	await say(page, "before");
	await shows(page, ["Ada: before"]);
	await control("kill");
	await page.locator('#status:not([data-state="connected"])').waitFor();
	await shot(page, "chat-lost");
	await control("start");
	await page.locator('#status[data-state="connected"]').waitFor();
	await shows(page, ["Ada: before"]);
	await say(page, "after");
	await shows(page, ["Ada: before", "Ada: after"]);
});
