// What every script shares: the client under test, fresh keys, and ways to wait for something without sleeping blindly.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after } from "node:test";

const packages = { "2.3.19": "rivetkit/client", "2.1.5": "rivetkit-2-1/client" };

export const endpoint = required("RIVET_ENDPOINT");
export const version = process.env.INTEROP_CLIENT ?? "2.3.19";
export const encoding = process.env.INTEROP_ENCODING ?? "bare";
export const is21 = version.startsWith("2.1.");

const { createClient } = await import(packages[version]);
const clients = [];
after(() => Promise.all(clients.map((client) => client.dispose())));

function required(name) {
	const value = process.env[name];
	if (!value) throw new Error(`${name} is not set; run these scripts through go test`);
	return value;
}

/** A client of the version and encoding under test; disposed of when the script ends. */
export function newClient(options = {}) {
	const client = createClient({ endpoint, encoding, ...options });
	clients.push(client);
	return client;
}

/** A key that no other test uses. */
export function freshKey(...parts) {
	return [...parts, randomUUID()];
}

/** Waits until probe returns something truthy, and returns that. */
export async function waitFor(what, probe, milliseconds = 10_000) {
	const deadline = Date.now() + milliseconds;
	for (;;) {
		const value = await probe();
		if (value) return value;
		if (Date.now() > deadline) assert.fail(`waited ${milliseconds} ms for ${what}`);
		await pause(10);
	}
}

export function pause(milliseconds) {
	return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Fails when the promise is not settled in time, instead of letting the whole script hang. */
export function within(what, promise, milliseconds = 10_000) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`${what} did not settle within ${milliseconds} ms`)), milliseconds);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The error that the promise is rejected with; fails when it is fulfilled. */
export async function rejection(promise, milliseconds) {
	let value;
	try {
		value = await within("the call", promise, milliseconds);
	} catch (error) {
		return error;
	}
	assert.fail(`expected an error, got ${describe(value)}`);
}

/** Checks group and code, and that the client made its structured error class of it. */
export function assertError(error, group, code) {
	assert.equal(`${error.group}.${error.code}`, `${group}.${code}`, `unexpected error: ${error.stack}`);
}

/** Calls an action by its full name: nested names are a proxy path in 2.3 and only a name in 2.1. */
export function call(target, name, ...args) {
	return target.action({ name, args });
}

/**
 * A connection with params. 2.1 takes them only with the handle, so handleWith makes one from options.
 */
export function connect(handleWith, params) {
	return is21 ? handleWith({ params }).connect() : handleWith({}).connect(params);
}

/** A connection to a kitchen that is open, with its own id. The caller disposes of it. */
export async function open(handle) {
	const conn = handle.connect();
	const me = await within("the first action of a connection", conn.whoami());
	return { conn, id: me.connId };
}

export function describe(value) {
	return typeof value === "bigint" ? `${value}n` : JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `${v}n` : v));
}
