// The chat room's page, on the official client.
//
//	?room=NAME       the room, which is the actor's key; "lobby" by default
//	?endpoint=URL    another server than the one that served this page
import { createClient } from "rivetkit/client";

const query = new URLSearchParams(location.search);
const room = query.get("room") || "lobby";
const client = createClient({
	endpoint: query.get("endpoint") || location.origin,
	devtools: false, // on localhost the client would load a script from the server
});

const $ = (id) => document.getElementById(id);
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const nameKey = `chat-name:${room}`; // a reload joins again by itself

// Errors of the user that a second attempt would meet again.
const isRefusal = (error) => error?.group === "user";
const firstRetry = 500;
const lastRetry = 10_000;

let visit = null; // the visit to the room, from joining to leaving

/** One stay in the room: a connection, and a new one whenever the client gives the old one up. */
class Visit {
	#conn = null;
	#timer = 0;
	#delay = firstRetry;
	#over = false;

	constructor(name) {
		this.name = name;
		this.#connect();
	}

	#connect() {
		const conn = client.chatRoom.getOrCreate([room]).connect({ name: this.name });
		this.#conn = conn;
		conn.onStatusChange((status) => this.#changed(conn, status));
		conn.onError((error) => this.#failed(conn, error));
		conn.on("newMessage", (message) => {
			if (conn === this.#conn) addMessage(message, this.name);
		});
		showStatus(conn.connStatus);
	}

	#changed(conn, status) {
		if (this.#over || conn !== this.#conn) return;
		showStatus(status);
		if (status === "connected") this.#opened(conn);
		// The client stops for good when the server refuses to be reached once, as during a restart.
		if (status === "idle") this.#again(conn);
	}

	#again(conn) {
		clearTimeout(this.#timer);
		showStatus("disconnected");
		this.#timer = setTimeout(() => {
			conn.dispose();
			this.#connect();
		}, this.#delay);
		this.#delay = Math.min(this.#delay * 2, lastRetry);
	}

	async #opened(conn) {
		this.#delay = firstRetry;
		try {
			const history = await conn.getHistory();
			if (this.#over || conn !== this.#conn) return;
			showError("");
			// What was said before this answer is in it; what is said after comes as events after it.
			$("messages").replaceChildren();
			for (const message of history) addMessage(message, this.name);
		} catch (error) {
			this.#failed(conn, error);
		}
	}

	#failed(conn, error) {
		if (this.#over || conn !== this.#conn || !isRefusal(error)) return; // the status tells about the rest
		leave();
		showError(error.message);
	}

	send(text) {
		return this.#conn.sendMessage(text);
	}

	end() {
		this.#over = true;
		clearTimeout(this.#timer);
		this.#conn.dispose();
	}
}

function join(name) {
	sessionStorage.setItem(nameKey, name);
	showError("");
	$("messages").replaceChildren();
	$("join").hidden = true;
	$("chat").hidden = false;
	visit = new Visit(name);
	$("text").focus();
}

function leave() {
	visit?.end();
	visit = null;
	sessionStorage.removeItem(nameKey);
	$("chat").hidden = true;
	$("join").hidden = false;
	showStatus("idle");
	$("name").focus();
}

function showStatus(status) {
	const words = { connected: "connected", connecting: "connecting …", disconnected: "connection lost, trying again …", idle: "not connected" };
	$("status").dataset.state = status;
	$("status").textContent = words[status] ?? status;
	$("submit").disabled = status !== "connected";
}

function showError(text) {
	$("error").textContent = text;
	$("error").hidden = text === "";
}

function addMessage({ sender, text, timestamp }, me) {
	const list = $("messages");
	const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
	const item = document.createElement("li");
	item.classList.toggle("own", sender === me);
	const meta = element("p", "meta");
	const when = element("time", "", time.format(timestamp));
	when.dateTime = new Date(timestamp).toISOString();
	meta.append(element("span", "sender", sender), when);
	item.append(meta, element("p", "text", text));
	list.append(item);
	if (atEnd || sender === me) list.scrollTop = list.scrollHeight;
}

function element(tag, className, text = "") {
	const e = document.createElement(tag);
	if (className) e.className = className;
	e.textContent = text; // never HTML: it comes from other people
	return e;
}

$("room").textContent = room;
document.title = `${room} · Chat room`;
showStatus("idle");

$("join").addEventListener("submit", (event) => {
	event.preventDefault();
	const name = $("name").value.trim();
	if (name) join(name);
});

$("send").addEventListener("submit", async (event) => {
	event.preventDefault();
	const input = $("text");
	const text = input.value.trim();
	if (!text || !visit || $("submit").disabled) return;
	input.value = "";
	try {
		await visit.send(text);
		showError("");
	} catch (error) {
		if (input.value === "") input.value = text; // nothing typed is lost
		showError(`Not sent: ${error.message}`);
	}
	input.focus();
});

$("leave").addEventListener("click", leave);

const known = sessionStorage.getItem(nameKey);
if (known) join(known);
