// What travels: numbers, text, bytes, dates, undefined, escapes; positional arguments; over HTTP and over a connection.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { assertError, call, describe, encoding, freshKey, is21, newClient, open, rejection, waitFor } from "./harness.mjs";

const client = newClient();
const handle = client.kitchen.getOrCreate(freshKey("values"));
const { conn } = await open(handle);
after(() => conn.dispose());

const ways = { http: handle, connection: conn };
const json = encoding === "json";

// Values that come back exactly as they went, in every encoding and version.
const plain = [
	0, 1, -1, 23, 24, 255, 256, 65_536, -70_000, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, -(2 ** 32) - 1,
	1_700_000_000_123, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.1, -2.5, 1.5e300, 5e-324, 1e21,
	"", "text", "quotes \" and \\ and \n", "héllo 漢字 🚀 \u0000", "x".repeat(60_000),
	true, false, null, [], {}, [[], [[]]], [1, "two", [3, { four: 4 }]],
	{ a: { b: { c: [1, null, { d: false }] } }, "": "empty name", "ключ": "ü", $x: 1 },
	{ z: 1, a: 2, m: 3 }, ["$x"], ["$a", "b", "c"], ["x", "$y"], [1, "$y"],
	Array.from({ length: 1000 }, (_, i) => i), deep(60),
];

function deep(levels) {
	return levels === 0 ? "bottom" : { next: [deep(levels - 1)] };
}

const date = new Date("2026-03-04T05:06:07.000Z");
const instant = new Date("2026-03-04T05:06:07.891Z");

// Values that only some encodings carry: what is sent, and what is expected back by encoding.
const special = [
	{ name: "bigint", send: 5n },
	{ name: "negative bigint", send: -5n },
	{ name: "64-bit bigint", send: 2n ** 63n },
	{ name: "large bigint", send: 2n ** 70n + 1n },
	{ name: "large negative bigint", send: -(2n ** 70n) },
	{ name: "bytes", send: Uint8Array.of(0, 1, 127, 128, 255) },
	{ name: "no bytes", send: new Uint8Array(0) },
	{ name: "bytes inside", send: { list: [Uint8Array.of(1), Uint8Array.of(2, 3)] } },
	{ name: "date", send: date, expect: json ? date.toISOString() : date },
	{ name: "date with milliseconds", send: instant, expect: json ? instant.toISOString() : instant },
	{ name: "set", send: new Set([1, "a"]), expect: json ? {} : new Set([1, "a"]) },
	{ name: "map", send: new Map([["k", 1]]), expect: json ? {} : new Map([["k", 1]]) },
	{ name: "float array", send: Float64Array.of(0.5, 1e9), expect: json ? { 0: 0.5, 1: 1e9 } : Float64Array.of(0.5, 1e9) },
	{ name: "NaN", send: Number.NaN, expect: json ? null : Number.NaN },
	{ name: "infinity", send: Number.POSITIVE_INFINITY, expect: json ? null : Number.POSITIVE_INFINITY },
	{ name: "minus zero", send: -0, expect: 0 },
	{ name: "undefined in an object", send: { a: undefined, b: 1 }, loose: (v) => v.a == null && v.b === 1 },
	{ name: "undefined in an array", send: [1, undefined, 2], loose: (v) => v.length === 3 && v[0] === 1 && v[1] == null && v[2] === 2 },
	{ name: "array that looks like an escape", send: ["$x", 1], escape: true },
	{ name: "array that looks like an escape of an escape", send: ["$$x", 1], escape: true },
	{ name: "array that looks like a bigint", send: ["$BigInt", "5"], escape: true },
	{ name: "array that looks like an escape, inside", send: { list: [["$x", { deep: ["$y", null] }]] }, escape: true },
];

// These arrays mean something else to the reader than to the writer: where the client does not escape them (2.3 in cbor,
// 2.1 in cbor and bare), the server, which reads escapes in every encoding, cannot know what was meant.
const unescaped = encoding === "cbor" || (encoding === "bare" && is21);

for (const [way, target] of Object.entries(ways)) {
	test(`${way}: plain values come back as they went`, async () => {
		for (const value of plain) {
			const got = await call(target, "echo", value);
			assert.deepEqual(normal(got), value, `${describe(value).slice(0, 80)} came back as ${describe(got)?.slice(0, 80)}`);
		}
	});

	for (const { name, send, expect = send, loose, escape } of special) {
		const skip = escape && unescaped && "this client sends it unescaped";
		test(`${way}: ${name}`, { skip }, async () => {
			const got = await call(target, "echo", send);
			if (loose) return assert.ok(loose(got), `came back as ${describe(got)}`);
			assert.deepEqual(normal(got), normal(expect));
		});
	}

	test(`${way}: undefined and no argument`, async () => {
		assert.ok((await target.echo(undefined)) == null);
		assert.ok((await target.nothing()) == null);
	});

	test(`${way}: positional and optional arguments`, async () => {
		assert.equal(await target.add(1, 2), 3);
		assert.equal(await target.add(0.5, 2), 2.5);
		assert.equal(await target.add(-3, 3), 0);
		assert.equal(await target.greet("Ada"), "Hello, Ada!");
		assert.equal(await target.greet("Ada", undefined), "Hello, Ada!");
		assert.equal(await target.greet("Ada", "Salut"), "Salut, Ada!");
		assert.equal(await target.greet("漢字 🚀", ""), ", 漢字 🚀!");
	});

	test(`${way}: large results of typed handlers are numbers`, async () => {
		for (const [a, b] of [[2 ** 32, 1], [2 ** 40, 2 ** 40], [-(2 ** 33), 0], [Number.MAX_SAFE_INTEGER - 1, 1]]) {
			const sum = await target.add(a, b);
			assert.equal(typeof sum, "number");
			assert.equal(sum, a + b);
		}
	});

	test(`${way}: names with dots`, async () => {
		assert.equal(await call(target, "group.inner", 21), 42);
		if (!is21) assert.equal(await target.group.inner(4), 8); // 2.1 has no nested proxy
	});
}

test("a count beyond 2^32 is a number in results and events", async () => {
	const counter = client.counter.getOrCreate(freshKey("large"));
	const connection = counter.connect();
	after(() => connection.dispose());
	const events = [];
	connection.on("count", (count) => events.push(count));
	assert.equal(await connection.getCount(), 0);
	assert.equal(await counter.increment(5_000_000_000), 5_000_000_000);
	await waitFor("the event", () => events.length === 1);
	assert.deepEqual(events, [5_000_000_000]);
});

test("a message over the limit of 64 KiB is refused", async () => {
	const text = "x".repeat(70_000);
	assertError(await rejection(handle.echo(text)), "message", "incoming_too_long");
	const { conn: other } = await open(handle); // a connection does not survive it
	assertError(await rejection(other.echo(text)), "message", "incoming_too_long");
	await other.dispose();
	assert.equal(await handle.add(1, 1), 2);
});

/** Buffers are byte arrays too, whatever class the client made of them. */
function normal(value) {
	if (value instanceof Uint8Array) return Uint8Array.from(value);
	if (Array.isArray(value)) return value.map(normal);
	if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
		return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, normal(v)]));
	}
	return value;
}
