// Builds dist/ from src/: chat.js with the official client inside, and the two static files.
//
//	npm run build    writes dist/
//	npm run check    builds into memory and fails when dist/ differs; dist/ is committed, so that Go can embed it
//
// The output depends only on src/ and package-lock.json.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const bundle = await build({
	absWorkingDir: path("."),
	entryPoints: ["src/chat.js"],
	bundle: true,
	format: "esm",
	platform: "browser",
	conditions: ["browser"],
	target: ["es2022"],
	minify: true,
	legalComments: "inline",
	charset: "utf8",
	write: false,
	logLevel: "warning",
});

const files = {
	"chat.js": Buffer.from(bundle.outputFiles[0].contents),
	"index.html": await readFile(path("src/index.html")),
	"style.css": await readFile(path("src/style.css")),
};

if (process.argv.includes("--check")) {
	const stale = [];
	for (const [name, contents] of Object.entries(files)) {
		const committed = await readFile(path(`dist/${name}`)).catch(() => Buffer.alloc(0));
		if (!committed.equals(contents)) stale.push(`dist/${name}`);
	}
	if (stale.length > 0) {
		console.error(`${stale.join(", ")} differ from what src/ builds: run npm run build in examples/chat/web and commit`);
		process.exit(1);
	}
	console.log("dist/ is what src/ builds");
} else {
	await mkdir(path("dist"), { recursive: true });
	for (const [name, contents] of Object.entries(files)) {
		await writeFile(path(`dist/${name}`), contents);
		console.log(`dist/${name}  ${(contents.length / 1024).toFixed(1)} KiB`);
	}
}
