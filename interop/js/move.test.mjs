// A runner that ends in good order: its actors move to another one, and their clients do not notice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freshKey, newClient, pause, waitFor, within } from "./harness.mjs";

const client = newClient();

async function control(verb) {
	const answer = await fetch(`${process.env.INTEROP_CONTROL}/${verb}`, { method: "POST" });
	assert.equal(answer.status, 200, await answer.text());
}

test("an actor and its connection move to another runner", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("moves"), { params: { name: "Ada" } });
	const conn = handle.connect();
	const noticed = [];
	const heard = [];
	conn.on("shouted", (x) => heard.push(x));
	const first = await within("whoami", conn.whoami());
	assert.equal(await conn.increment(5), 5);
	conn.onClose(() => noticed.push("closed"));
	conn.onError((error) => noticed.push(String(error)));
	await control("second");
	await control("end-first");
	await pause(500);
	const again = await within("whoami in the next life", conn.whoami(), 60_000);
	assert.equal(again.connId, first.connId);
	assert.equal(await conn.increment(1), 6);
	assert.equal(await conn.wakes(), 2);
	await handle.shout("hello");
	await waitFor("the event", () => heard.length === 1);
	assert.deepEqual(noticed, []);
	await conn.dispose();
});
