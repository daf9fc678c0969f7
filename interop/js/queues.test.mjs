// Queues and schedules: sends with and without waiting, time-outs, limits, refusals, wake-ups, firing information.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError, freshKey, newClient, pause, rejection, waitFor, within } from "./harness.mjs";

const client = newClient();
const worker = (...parts) => client.worker.getOrCreate(freshKey("worker", ...parts));

test("a message without waiting is stored, and handled by the run loop", async () => {
	const w = worker("plain");
	assert.equal(await w.send("jobs", { n: 2 }), undefined);
	await waitFor("the job", async () => (await w.seen()).length === 1);
	assert.deepEqual(await w.seen(), [2]);
});

test("a waiting sender gets the reply", async () => {
	const w = worker("wait");
	const answer = await within("send", w.send("jobs", { n: 5 }, { wait: true, timeout: 5_000 }));
	assert.deepEqual(answer, { status: "completed", response: { result: 15, extra: null } });
});

test("order is kept", async () => {
	const w = worker("order");
	for (let n = 1; n <= 20; n++) await w.send("jobs", { n });
	await within("the last", w.send("jobs", { n: 21 }, { wait: true, timeout: 10_000 }));
	assert.deepEqual(await w.seen(), Array.from({ length: 21 }, (_, i) => i + 1));
});

test("messages handled in turns", async () => {
	const key = freshKey("turns"); // sends of one handle go one after another: take several
	const replies = await Promise.all([1, 2, 3, 4].map((n) => client.worker.getOrCreate(key).send("sums", n, { wait: true, timeout: 5_000 })));
	assert.deepEqual(replies.map((r) => r.status), Array(4).fill("completed"));
	assert.equal(Math.max(...replies.map((r) => r.response)), 10);
	assert.equal(await client.worker.getOrCreate(key).sum(), 10);
});

test("nobody answers: timedOut, and the message stays", async () => {
	const w = worker("timeout");
	const answer = await within("send", w.send("idle", { hello: "世界", list: [1, null] }, { wait: true, timeout: 100 }));
	assert.deepEqual(answer, { status: "timedOut" });
	assert.deepEqual(await w.take(), { hello: "世界", list: [1, null] });
	assert.equal(await w.take(), null);
});

test("a message that fails for good answers its sender with the error", async () => {
	const w = worker("fails");
	const error = await rejection(w.send("jobs", { n: 1, fail: "spoilt" }, { wait: true, timeout: 5_000 }));
	assertError(error, "user", "spoilt");
	assert.deepEqual(await w.seen(), []);
});

test("refusals", async () => {
	const w = worker("refusals");
	assertError(await rejection(w.send("guarded", 1)), "auth", "forbidden");
	assertError(await rejection(w.send("no-such-queue", 1)), "queue", "not_found");
	assertError(await rejection(w.send("jobs", "not a job")), "actor", "validation_error");
	const large = await rejection(w.send("idle", "x".repeat(5_000)));
	assertError(large, "queue", "message_too_large");
	assert.equal(large.metadata.limit, 4096);
});

test("a full queue", async () => {
	const w = worker("full");
	for (let n = 0; n < 50; n++) await w.send("idle", n);
	const full = await rejection(w.send("idle", 50));
	assertError(full, "queue", "full");
	assert.equal(full.metadata.limit, 50);
	assert.equal(await w.take(), 0);
	await w.send("idle", 50);
});

test("a connection sends too", async () => {
	const w = worker("conn");
	const conn = w.connect();
	const answer = await within("send", conn.send("jobs", { n: 1 }, { wait: true, timeout: 5_000 }));
	assert.equal(answer.response.result, 3);
	await conn.dispose();
});

test("a message wakes a sleeping actor", async () => {
	const w = worker("asleep");
	assert.equal(await w.lives(), 1);
	await w.sleepNow();
	await pause(100);
	const answer = await within("send", w.send("jobs", { n: 7 }, { wait: true, timeout: 5_000 }));
	assert.equal(answer.response.result, 21);
	assert.equal(await w.lives(), 2);
});

// The streaming gateway of the official engine ends requests whose actor stops.
const ends = process.env.INTEROP_ENGINE === "streamed" && "the gateway ends the request";

test("a waiting send outlives a sleep of the actor", { skip: ends }, async () => {
	const key = freshKey("moves");
	const pending = client.worker.getOrCreate(key).send("idle", 1, { wait: true, timeout: 5_000 });
	await pause(100);
	const other = newClient().worker.getOrCreate(key);
	const before = await other.lives();
	await other.sleepNow();
	await waitFor("the next life", async () => (await other.lives()) > before);
	await waitFor("the message", async () => (await other.take()) === 1);
	assert.equal((await within("the waiting send", pending)).status, "completed");
});

test("a schedule fires, also from sleep, and says why", async () => {
	const w = worker("schedule");
	const id = await w.later(1_500, "ring");
	await w.sleepNow();
	await pause(1_800); // it wakes by itself
	const fired = await waitFor("the firing", async () => {
		const all = await w.fired();
		return all.length > 0 ? all : undefined;
	});
	assert.equal(fired.length, 1);
	assert.equal(fired[0].name, "ring");
	const { kind, id: of, scheduledAt, firedAt } = fired[0].info;
	assert.equal(kind, "at");
	assert.equal(of, id);
	assert.ok(firedAt >= scheduledAt && firedAt - scheduledAt < 2_000, `${scheduledAt} ${firedAt}`);
	assert.equal(await w.lives(), 2);
});
