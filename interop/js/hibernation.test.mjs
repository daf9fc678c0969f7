// Hibernation as the official client sees it: not at all. Connections stay open while their actor sleeps.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freshKey, newClient, pause, waitFor, within } from "./harness.mjs";

const client = newClient();

// An actor under the official engine stops when the engine says so, a moment after it asked to.
const asleep = () => pause(process.env.INTEROP_ENGINE ? 500 : 0);

/** A connection that notes whenever its client noticed anything. */
function watched(handle) {
	const conn = handle.connect();
	const noticed = [];
	let opened = false;
	conn.onOpen(() => {
		if (opened) noticed.push("open again");
		opened = true;
	});
	conn.onClose(() => noticed.push("closed"));
	conn.onError((error) => noticed.push(String(error)));
	return { conn, noticed };
}

test("a message wakes the actor, and the connection is the same", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("hibernate"), { params: { name: "Ada" } });
	const { conn, noticed } = watched(handle);
	const first = await within("whoami", conn.whoami());
	for (let round = 2; round < 5; round++) {
		await conn.sleepNow();
		await asleep();
		const again = await within("whoami", conn.whoami());
		assert.equal(again.connId, first.connId);
		assert.deepEqual(again.params, { name: "Ada" });
		assert.deepEqual(again.state, { name: "Ada", calls: round });
		assert.equal(await conn.wakes(), round);
	}
	assert.deepEqual(noticed, []);
	await conn.dispose();
});

test("subscriptions go on, whoever wakes the actor", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("subscribed"));
	const { conn, noticed } = watched(handle);
	const heard = [];
	conn.on("shouted", (x) => heard.push(x));
	await within("the first", conn.shout("one"));
	await waitFor("the first event", () => heard.length === 1);
	await handle.sleepNow();
	await asleep();
	await within("somebody else", handle.shout("two"));
	await waitFor("the second event", () => heard.length === 2);
	await conn.sleepNow();
	await asleep();
	await within("the same client", conn.shout("three"));
	await waitFor("the third event", () => heard.length === 3);
	assert.deepEqual(heard, ["one", "two", "three"]);
	assert.deepEqual(noticed, []);
	await conn.dispose();
});

test("actions that meet a sleep are answered late, once each, in order", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("pipelined"));
	const { conn, noticed } = watched(handle);
	await within("the first", conn.increment(1));
	const calls = [];
	for (let i = 0; i < 60; i++) {
		if (i % 10 === 5) calls.push(conn.sleepNow().then(() => null));
		calls.push(conn.increment(1));
		if (i % 7 === 0) await pause(5);
	}
	const counts = (await within("all of them", Promise.all(calls), 20_000)).filter((n) => n !== null);
	assert.deepEqual(counts, Array.from({ length: 60 }, (_, i) => i + 2));
	assert.deepEqual(noticed, []);
	await conn.dispose();
});

test("a client that leaves a sleeping actor is gone when it wakes", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("leaving"));
	const { conn } = watched(handle);
	await within("whoami", conn.whoami());
	assert.equal(await handle.conns(), 1);
	await conn.sleepNow();
	await asleep();
	await conn.dispose();
	await waitFor("the connection to be gone", async () => (await handle.conns()) === 0);
});
