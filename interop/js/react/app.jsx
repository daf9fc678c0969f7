// The smallest page on the official React hooks: one counter, its count by event, a button.
import { createRivetKit } from "@rivetkit/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

const query = new URLSearchParams(location.search);
const { useActor } = createRivetKit({
	endpoint: query.get("endpoint"),
	encoding: query.get("encoding") ?? undefined,
	poolName: query.get("pool") ?? undefined,
	devtools: false,
});

function Counter() {
	const [count, setCount] = useState(null);
	const [events, setEvents] = useState(0);
	const counter = useActor({ name: "counter", key: [query.get("key")] });
	counter.useEvent("count", (next) => {
		setCount(next);
		setEvents((n) => n + 1);
	});
	const increment = async () => {
		await counter.connection.increment(1);
	};
	const read = async () => setCount(await counter.connection.getCount());
	return (
		<main>
			<p id="status">{counter.connStatus}</p>
			<p id="error">{counter.error?.message}</p>
			<p id="count">{count}</p>
			<p id="events">{events}</p>
			<button type="button" onClick={increment}>increment</button>
			<button type="button" onClick={read}>read</button>
		</main>
	);
}

createRoot(document.getElementById("root")).render(
	<StrictMode>
		<Counter />
	</StrictMode>,
);
