// Connections: parameters, state, refusal, many at once, pipelining, disconnection by the server, events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertError, connect, freshKey, is21, newClient, open, pause, rejection, waitFor, within } from "./harness.mjs";

const client = newClient();
const kitchen = (...parts) => client.kitchen.getOrCreate(freshKey(...parts));

/** What connect of the harness wants: a handle with these options, on a key of its own. */
const kitchenWith = (...parts) => {
	const key = freshKey(...parts);
	return (options) => client.kitchen.getOrCreate(key, options);
};
const roomWith = () => {
	const key = freshKey("room");
	return (options) => client.chatRoom.getOrCreate(key, options);
};

test("params reach the actor and make the connection's state", async () => {
	const params = { name: "Ada", token: "t/k?=&+%", list: [1, { x: "ü 漢 🚀" }] };
	const conn = connect(kitchenWith("params"), params);
	const first = await within("whoami", conn.whoami());
	assert.deepEqual(first.params, params);
	assert.deepEqual(first.state, { name: "Ada", calls: 1 });
	const second = await conn.whoami();
	assert.equal(second.connId, first.connId);
	assert.equal(second.state.calls, 2);
	await conn.dispose();
});

test("no params are null", async () => {
	const conn = kitchen("none").connect();
	const me = await within("whoami", conn.whoami());
	assert.equal(me.params, null);
	assert.equal(me.state.name, "anonymous");
	await conn.dispose();
});

test("params of a handle serve actions and connections", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("handle"), { params: { name: "Bob" } });
	assert.equal((await handle.whoami()).state.name, "Bob");
	const conn = handle.connect();
	assert.equal((await within("whoami", conn.whoami())).state.name, "Bob");
	await conn.dispose();
});

test("status, onOpen and onClose", async () => {
	const conn = kitchen("status").connect();
	const seen = [];
	conn.onStatusChange((status) => seen.push(status));
	const opened = within("onOpen", new Promise((resolve) => conn.onOpen(resolve)));
	const closed = new Promise((resolve) => conn.onClose(resolve));
	await opened;
	assert.equal(conn.connStatus, "connected");
	await conn.dispose();
	await within("onClose", closed);
	assert.ok(seen.includes("connected"), seen.join());
	const error = await rejection(conn.add(1, 1));
	assert.match(String(error), /dispose/i);
});

test("conns counts connections, and forgets them", async () => {
	const handle = kitchen("count");
	const a = await open(handle);
	const b = await open(handle);
	assert.notEqual(a.id, b.id);
	assert.equal(await handle.conns(), 2);
	await a.conn.dispose();
	await waitFor("the first connection to go", async () => (await handle.conns()) === 1);
	await b.conn.dispose();
	await waitFor("both to go", async () => (await handle.conns()) === 0);
});

test("a refused connection tells why", async () => {
	const conn = connect(kitchenWith("refused"), { refuse: "banned" });
	const errors = [];
	conn.onError((error) => errors.push(error));
	const pending = rejection(conn.whoami()); // queued before the connection opens
	await waitFor("onError", () => errors.length > 0);
	assertError(errors[0], "user", "banned");
	assert.equal(errors[0].message, "refused");
	assert.deepEqual(errors[0].metadata, { why: "asked to" });
	assert.notEqual(conn.connStatus, "connected");
	if (!is21) {
		assertError(await pending, "user", "banned");
		// The client goes idle at the error frame, and from there to disconnected at the close that follows it.
		await waitFor("the connection to give up", () => ["idle", "disconnected"].includes(conn.connStatus));
	}
	await conn.dispose(); // 2.1 retries for ever
	await pending;
});

test("an HTTP call is refused the same way", async () => {
	const handle = client.kitchen.getOrCreate(freshKey("refused"), { params: { refuse: "banned" } });
	const error = await rejection(handle.add(1, 1));
	assertError(error, "user", "banned");
});

test("fifty connections at once, one event to all", async () => {
	const key = freshKey("fifty");
	const handle = client.kitchen.getOrCreate(key);
	const got = Array.from({ length: 50 }, () => []);
	const conns = got.map((list, i) => {
		const conn = connect((options) => client.kitchen.getOrCreate(key, options), { name: `n${i}` });
		conn.on("shouted", (x) => list.push(x));
		return conn;
	});
	const who = await Promise.all(conns.map((conn) => within("whoami", conn.whoami(), 20_000)));
	assert.equal(new Set(who.map((w) => w.connId)).size, 50);
	assert.equal(await handle.conns(), 50);
	await handle.shout({ n: 1 });
	await conns[7].shout({ n: 2 });
	await waitFor("100 events", () => got.every((list) => list.length === 2));
	for (const list of got) assert.deepEqual(list, [{ n: 1 }, { n: 2 }]);
	await Promise.all(conns.map((conn) => conn.dispose()));
});

test("pipelined actions all answer, each with its own result", async () => {
	const { conn } = await open(kitchen("pipeline"));
	const sums = await within("200 calls", Promise.all(Array.from({ length: 200 }, (_, i) => conn.add(i, i))));
	assert.deepEqual(sums, Array.from({ length: 200 }, (_, i) => 2 * i));
	const counts = await within("100 increments", Promise.all(Array.from({ length: 100 }, () => conn.increment(1))));
	assert.deepEqual([...counts].sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i + 1));
	await conn.dispose();
});

test("calls made before the connection opens are answered", async () => {
	const conn = kitchen("early").connect();
	const early = Promise.all([conn.add(1, 1), conn.add(2, 2), conn.add(3, 3)]);
	assert.deepEqual(await within("early calls", early), [2, 4, 6]);
	await conn.dispose();
});

test("a slow action does not lose its answer", async () => {
	const { conn } = await open(kitchen("slow"));
	assert.deepEqual(await within("slow", Promise.all([conn.slow(300), conn.add(1, 2)])), [300, 3]);
	await conn.dispose();
});

test("the server disconnects one connection", async () => {
	const handle = kitchen("kicked");
	const a = await open(handle);
	const b = await open(handle);
	let closes = 0;
	a.conn.onClose(() => closes++);
	assert.equal(await handle.kick(a.id), true);
	await waitFor("the close", () => closes === 1);
	assert.equal((await b.conn.whoami()).connId, b.id, "the other one stays");
	// Both versions connect again by themselves after a close that they did not ask for.
	const again = await within("whoami after the kick", waitFor("a new connection", async () => {
		if (a.conn.connStatus !== "connected") return undefined;
		return (await a.conn.whoami()).connId;
	}));
	assert.notEqual(again, a.id);
	assert.equal(await handle.kick("no-such-connection"), false);
	await Promise.all([a.conn.dispose(), b.conn.dispose()]);
});

test("destroying the actor closes its connections, and they come back to its successor", async () => {
	const handle = kitchen("destroyed");
	const { conn, id } = await open(handle);
	await handle.increment(5);
	let closes = 0;
	conn.onClose(() => closes++);
	await handle.destroyMe();
	await waitFor("the close", () => closes === 1);
	await waitFor("a new connection", () => conn.connStatus === "connected");
	const me = await within("whoami", conn.whoami());
	assert.notEqual(me.connId, id);
	assert.equal(await conn.increment(1), 1);
	await conn.dispose();
});

test("a connection by id", async () => {
	const handle = kitchen("by id");
	const id = await handle.resolve();
	const conn = connect((options) => client.kitchen.getForId(id, options), { name: "Id" });
	assert.equal((await within("whoami", conn.whoami())).state.name, "Id");
	await conn.dispose();
});

test("a connection to a missing actor keeps trying until there is one", async () => {
	const key = freshKey("missing");
	const conn = client.kitchen.get(key).connect();
	conn.onError(() => {});
	const me = conn.whoami();
	await pause(400);
	assert.notEqual(conn.connStatus, "connected");
	await client.kitchen.create(key);
	assert.equal((await within("whoami", me)).state.calls, 1);
	await conn.dispose();
});

test("a chat room keeps its history and knows the sender", async () => {
	const room = roomWith();
	const [ada, bob, eve] = ["Ada", "Bob", "Eve"].map((name) => connect(room, { name }));
	const heard = [];
	bob.on("newMessage", (message) => heard.push(message));
	assert.deepEqual(await within("history", bob.getHistory()), []);
	const began = Date.now();
	const sent = await within("sendMessage", ada.sendMessage("hello 漢字"));
	assert.deepEqual(Object.keys(sent).sort(), ["sender", "text", "timestamp"]);
	assert.equal(sent.sender, "Ada");
	assert.equal(sent.text, "hello 漢字");
	assert.equal(typeof sent.timestamp, "number");
	assert.ok(Math.abs(sent.timestamp - began) < 60_000, `timestamp ${sent.timestamp} is not milliseconds of now`);
	await waitFor("newMessage", () => heard.length === 1);
	assert.deepEqual(heard, [sent]);
	await bob.sendMessage("hi");
	assert.deepEqual((await eve.getHistory()).map((m) => `${m.sender}: ${m.text}`), ["Ada: hello 漢字", "Bob: hi"]);
	const error = await rejection(ada.sendMessage(""));
	assertError(error, "user", "empty_message");
	await Promise.all([ada, bob, eve].map((conn) => conn.dispose()));
});

test("a chat room refuses the nameless", async () => {
	for (const params of [undefined, {}, { name: "" }]) {
		const conn = connect(roomWith(), params);
		const errors = [];
		conn.onError((error) => errors.push(error));
		await waitFor("onError", () => errors.length > 0);
		assertError(errors[0], "user", "name_required");
		await conn.dispose();
	}
});

test("a disposed client closes its connections", async () => {
	const mine = newClient();
	const key = freshKey("disposed");
	const conn = mine.kitchen.getOrCreate(key).connect();
	await within("whoami", conn.whoami());
	await mine.dispose();
	await waitFor("the connection to go", async () => (await client.kitchen.getOrCreate(key).conns()) === 0);
	await pause(50);
	assert.equal(await client.kitchen.getOrCreate(key).conns(), 0, "and it stays gone");
});
