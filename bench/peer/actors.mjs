// The benchmark's actors (bench/actors) as official TypeScript actors, under the engine that RIVET_ENDPOINT names.
import { actor, setup } from "rivetkit";
import { db } from "rivetkit/db";

const options = { sleepTimeout: 86_400_000 };

const counter = actor({
	state: { n: 0 },
	actions: {
		incDurable: async (c, by = 1) => {
			c.state.n += by;
			await c.saveState({ immediate: true });
			return c.state.n;
		},
		get: (c) => c.state.n,
		echo: (_c, x) => x,
	},
	options,
});

const sql = actor({
	db: db({
		onMigrate: async (d) => {
			await d.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v TEXT NOT NULL)");
		},
	}),
	actions: {
		insert: async (c, v) => {
			await c.db.execute("INSERT INTO t(v) VALUES(?)", v);
			return true;
		},
		select: async (c, id) => (await c.db.execute("SELECT * FROM t WHERE id = ?", id)).length,
		insertLoop: async (c, k) => {
			const began = Date.now();
			for (let i = 0; i < k; i++) await c.db.execute("INSERT INTO t(v) VALUES(?)", `value-${i}`);
			return Date.now() - began;
		},
		echo: (_c, x) => x,
	},
	options,
});

setup({ use: { counter, sql } }).start();
