// Raw HTTP and raw WebSockets: fetch and webSocket of the official client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freshKey, newClient, within } from "./harness.mjs";

const client = newClient();
const kitchen = (...parts) => client.kitchen.getOrCreate(freshKey("raw", ...parts));

test("a request is seen as sent, and its answer as given", async () => {
	const answer = await within(
		"fetch",
		kitchen("echo").fetch("echo/a%20b?x=1&y=%26", { method: "PUT", headers: { "X-Question": "why", "Content-Type": "text/plain" }, body: "hello ü" }),
	);
	assert.equal(answer.status, 201);
	assert.equal(answer.headers.get("x-answer"), "echo");
	const seen = await answer.json();
	assert.deepEqual(
		{ method: seen.method, path: seen.path, query: seen.query, question: seen.header["X-Question"]?.[0], body: seen.body },
		{ method: "PUT", path: "/echo/a%20b", query: "x=1&y=%26", question: "why", body: "hello ü" },
	);
});

test("large bodies pass both ways", async () => {
	const body = "x".repeat(3 << 20);
	const answer = await within("fetch", kitchen("large").fetch("/echo", { method: "POST", body }), 30_000);
	assert.equal((await answer.json()).body.length, body.length);
});

test("an answer is streamed", async () => {
	const answer = await within("fetch", kitchen("stream").fetch("/stream?n=5"));
	let text = "";
	for await (const chunk of answer.body) text += new TextDecoder().decode(chunk);
	assert.equal(text, "0\n1\n2\n3\n4\n");
});

// A gateway that takes responses as a whole waits for the end of this one.
const whole = process.env.INTEROP_ENGINE === "whole";

test("server-sent events arrive while the answer goes on", { skip: whole && "the gateway does not stream" }, async () => {
	const answer = await within("fetch", kitchen("sse").fetch("/sse"));
	assert.equal(answer.headers.get("content-type"), "text/event-stream");
	const reader = answer.body.getReader();
	let text = "";
	while (!text.includes("data: 2\n\n")) {
		const { value, done } = await within("an event", reader.read());
		assert.ok(!done, "the stream ended early");
		text += new TextDecoder().decode(value);
	}
	await reader.cancel();
});

test("a path that the handler does not know", async () => {
	const answer = await within("fetch", kitchen("none").fetch("/nothing/here"));
	assert.equal(answer.status, 404);
});

/** Opens a raw socket; returns it with a way to wait for its next message. */
async function socket(handle, path) {
	const ws = await within("webSocket", handle.webSocket(path));
	ws.binaryType = "arraybuffer";
	const messages = [];
	let wake = () => {};
	ws.addEventListener("message", (event) => {
		messages.push(event.data);
		wake();
	});
	const closed = new Promise((resolve) => ws.addEventListener("close", (event) => resolve(event)));
	if (ws.readyState === 0) await within("open", new Promise((resolve) => ws.addEventListener("open", resolve)));
	const next = async () => {
		while (messages.length === 0) await within("a message", new Promise((resolve) => (wake = resolve)));
		return messages.shift();
	};
	return { ws, next, closed };
}

test("messages come back as they were sent", async () => {
	const { ws, next, closed } = await socket(kitchen("ws"), "a/b?x=1");
	for (const text of ["hello", "", "üñ 🚀", "y".repeat(100_000)]) {
		ws.send(text);
		assert.equal(await next(), text);
	}
	ws.send(new Uint8Array([0, 255, 7]));
	assert.deepEqual(new Uint8Array(await next()), new Uint8Array([0, 255, 7]));
	ws.send("where");
	assert.match(await next(), /^\/websocket\/a\/b\?x=1/);
	ws.close(1000, "done");
	await within("close", closed);
});

test("the actor's close code and reason arrive", async () => {
	const { ws, closed } = await socket(kitchen("close"), "");
	ws.send("close");
	const event = await within("close", closed);
	assert.equal(event.code, 4001);
	assert.equal(event.reason, "custom reason");
});

test("an error of the handler closes with its code", async () => {
	const { ws, closed } = await socket(kitchen("error"), "");
	ws.send("error");
	const event = await within("close", closed);
	assert.equal(event.code, 1011);
	assert.equal(event.reason, "user.asked_to");
});

test("a raw socket outlives its actor's sleep", async () => {
	const handle = kitchen("sleep");
	const { ws, next } = await socket(handle, "");
	ws.send("one");
	assert.equal(await next(), "one");
	const wakes = await handle.wakes();
	await handle.sleepNow();
	ws.send("two");
	assert.equal(await next(), "two");
	assert.equal(await handle.wakes(), wakes + 1);
	ws.close(1000, "done");
});
