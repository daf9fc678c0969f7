// Events: subscriptions, values, order, messages to one connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { encoding, freshKey, newClient, open, pause, waitFor } from "./harness.mjs";

const client = newClient();
const kitchen = (...parts) => client.kitchen.getOrCreate(freshKey(...parts));

/** Calls in order on one connection are a barrier: what the server sent before the answer has arrived with it. */
const barrier = (conn) => conn.add(0, 0);

test("on gets every event, in order", async () => {
	const counter = client.counter.getOrCreate(freshKey("order"));
	const conn = counter.connect();
	const counts = [];
	conn.on("count", (count) => counts.push(count));
	await conn.getCount();
	for (let i = 0; i < 20; i++) await counter.increment(1);
	await waitFor("20 events", () => counts.length === 20);
	assert.deepEqual(counts, Array.from({ length: 20 }, (_, i) => i + 1));
	await conn.dispose();
});

test("once gets one", async () => {
	const { conn } = await open(kitchen("once"));
	const heard = { once: [], always: [] };
	conn.once("shouted", (x) => heard.once.push(x));
	conn.on("shouted", (x) => heard.always.push(x));
	await barrier(conn);
	for (const x of ["a", "b", "c"]) await conn.shout(x);
	await waitFor("three events", () => heard.always.length === 3);
	assert.deepEqual(heard, { once: ["a"], always: ["a", "b", "c"] });
	await conn.dispose();
});

test("unsubscribing stops the events, subscribing again brings them back", async () => {
	const { conn } = await open(kitchen("unsubscribe"));
	const heard = [];
	const listener = (x) => heard.push(x);
	const stop = conn.on("shouted", listener);
	await barrier(conn);
	await conn.shout(1);
	await waitFor("the first event", () => heard.length === 1);
	stop();
	await barrier(conn);
	await conn.shout(2);
	await barrier(conn);
	await pause(50);
	conn.on("shouted", listener);
	await barrier(conn);
	await conn.shout(3);
	await waitFor("the third event", () => heard.length === 2);
	assert.deepEqual(heard, [1, 3]);
	await conn.dispose();
});

test("events go only to those who subscribed", async () => {
	const handle = kitchen("some");
	const a = await open(handle);
	const b = await open(handle);
	const heard = { a: [], b: [] };
	a.conn.on("shouted", (x) => heard.a.push(x));
	b.conn.on("told", (x) => heard.b.push(x));
	await Promise.all([barrier(a.conn), barrier(b.conn)]);
	await handle.shout("all");
	await waitFor("the event", () => heard.a.length === 1);
	await barrier(b.conn);
	assert.deepEqual(heard, { a: ["all"], b: [] });
	await Promise.all([a.conn.dispose(), b.conn.dispose()]);
});

test("a message to one connection reaches only that one", async () => {
	const handle = kitchen("one");
	const a = await open(handle);
	const b = await open(handle);
	const heard = { a: [], b: [] };
	a.conn.on("told", (x) => heard.a.push(x));
	b.conn.on("told", (x) => heard.b.push(x));
	await Promise.all([barrier(a.conn), barrier(b.conn)]);
	assert.equal(await handle.sendTo(a.id, "psst 漢"), true);
	assert.equal(await b.conn.sendTo(a.id, "again"), true);
	assert.equal(await handle.sendTo("no-such-connection", "x"), false);
	await waitFor("two messages", () => heard.a.length === 2);
	await barrier(b.conn);
	assert.deepEqual(heard, { a: ["psst 漢", "again"], b: [] });
	await Promise.all([a.conn.dispose(), b.conn.dispose()]);
});

test("values in events", async () => {
	const { conn } = await open(kitchen("values"));
	const heard = [];
	conn.on("shouted", (...args) => heard.push(args));
	await barrier(conn);
	const values = [0, 2 ** 40, 0.5, "ü 漢 🚀", null, true, [1, [2]], { a: { b: [1] } }, 7n, 2n ** 70n, Uint8Array.of(1, 2, 255)];
	if (encoding !== "json") values.push(new Date("2026-01-02T03:04:05.000Z"));
	for (const value of values) await conn.shout(value);
	await waitFor("all events", () => heard.length === values.length);
	for (const [i, value] of values.entries()) {
		assert.equal(heard[i].length, 1, "one argument");
		const got = heard[i][0] instanceof Uint8Array ? Uint8Array.from(heard[i][0]) : heard[i][0];
		assert.deepEqual(got, value);
	}
	await conn.dispose();
});

test("an event of a failed action is not sent", async () => {
	const { conn } = await open(kitchen("order"));
	const heard = [];
	conn.on("shouted", (x) => heard.push(x));
	await barrier(conn);
	await conn.shout("before");
	await conn.fail("x", "y").catch(() => {});
	await conn.shout("after");
	await waitFor("two events", () => heard.length === 2);
	assert.deepEqual(heard, ["before", "after"]);
	await conn.dispose();
});

test("two listeners of one name, one subscription", async () => {
	const { conn } = await open(kitchen("two"));
	const heard = [];
	const stop = conn.on("shouted", (x) => heard.push(["first", x]));
	conn.on("shouted", (x) => heard.push(["second", x]));
	await barrier(conn);
	await conn.shout(1);
	await waitFor("both", () => heard.length === 2);
	stop();
	await conn.shout(2);
	await waitFor("the second alone", () => heard.length === 3);
	assert.deepEqual(heard[2], ["second", 2]);
	await conn.dispose();
});
