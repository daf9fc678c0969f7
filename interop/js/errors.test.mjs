// Failures: of the user, of the system, masked ones; over HTTP and over a connection.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertError, call, freshKey, newClient, open, rejection } from "./harness.mjs";

const client = newClient();
const handle = client.kitchen.getOrCreate(freshKey("errors"));
const { conn } = await open(handle);
after(() => conn.dispose());

for (const [way, target] of Object.entries({ http: handle, connection: conn })) {
	test(`${way}: a user error keeps code, message and metadata`, async () => {
		const metadata = { limit: 9, list: [1, "two"], nested: { ok: true }, large: 2 ** 40 };
		const error = await rejection(target.fail("too_hot", "It is too hot: 41 °C", metadata));
		assertError(error, "user", "too_hot");
		assert.equal(error.message, "It is too hot: 41 °C");
		assert.deepEqual(error.metadata, metadata);
	});

	test(`${way}: a user error without metadata`, async () => {
		const error = await rejection(target.fail("plain", "just so"));
		assertError(error, "user", "plain");
		assert.equal(error.message, "just so");
		assert.ok(error.metadata == null, `metadata is ${JSON.stringify(error.metadata)}`);
	});

	test(`${way}: an unknown action`, async () => {
		const error = await rejection(call(target, "noSuchThing", 1));
		assertError(error, "actor", "action_not_found");
		assert.match(error.message, /noSuchThing/);
	});

	test(`${way}: arguments of the wrong type`, async () => {
		for (const args of [["1", "2"], [{}, []], [null, 1], [true, 1]]) {
			const error = await rejection(target.add(...args));
			assertError(error, "actor", "validation_error");
			assert.match(error.message, /add/, "the message says which action");
		}
	});

	test(`${way}: too few and too many arguments`, async () => {
		for (const args of [[], [1], [1, 2, 3]]) {
			const error = await rejection(target.add(...args));
			assertError(error, "actor", "validation_error");
			assert.match(error.message, /add/, "the message says which action");
		}
	});

	for (const action of ["crash", "panics"]) {
		test(`${way}: ${action} is masked`, async () => {
			const error = await rejection(call(target, action));
			assert.equal(error.code, "internal_error", error.stack);
			assert.ok(["rivetkit", "core", "actor"].includes(error.group), error.group);
			assert.doesNotMatch(`${error.message} ${JSON.stringify(error.metadata)} ${error.stack}`, /secret/);
		});
	}

	test(`${way}: a failed turn changed nothing and the actor lives on`, async () => {
		const before = await target.increment(1);
		await rejection(target.fail("again", "again"));
		await rejection(target.panics());
		assert.equal(await target.increment(1), before + 1);
	});
}

test("one failing call does not disturb its neighbours on a connection", async () => {
	const outcomes = await Promise.allSettled([conn.add(1, 1), conn.fail("x", "y"), conn.add(2, 2), call(conn, "noSuchThing"), conn.add(3, 3)]);
	assert.deepEqual(outcomes.map((o) => o.status), ["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"]);
	assert.deepEqual([0, 2, 4].map((i) => outcomes[i].value), [2, 4, 6]);
});

test("a user error is not retried by the client", async () => {
	const began = Date.now();
	await rejection(handle.fail("once", "once"));
	assert.ok(Date.now() - began < 2000);
});
