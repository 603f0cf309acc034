// After trunk has built: trunk gives the page's files names that change with their content, but not the worker's
// and not the editor's. A browser that kept an old worker beside a new page would be a riddle, so they get such
// names here, and index.html learns them (the page reads the meta elements). In a release the scripts shrink, functions
// change places, and the worker's module is sorted for compression (streams.mjs); its loader joins it again.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { minify } from "terser";
import { order } from "./order.mjs";
import { split } from "./split.mjs";

const directory = process.env.TRUNK_STAGING_DIR;
const release = process.env.TRUNK_PROFILE === "release";
const path = (name) => join(directory, name);
const hash = (...names) => {
  const digest = createHash("sha256");
  names.forEach((name) => digest.update(readFileSync(path(name))));
  return digest.digest("hex").slice(0, 16);
};

const shrink = async (code) => (await minify(code, { module: true, ecma: 2020 })).code;

if (release) {
  const scripts = readdirSync(directory).filter((name) => name.endsWith(".js") && name !== "editor.js");
  for (const name of scripts) writeFileSync(path(name), await shrink(readFileSync(path(name), "utf8")));
  const modules = readdirSync(directory).filter((name) => name.endsWith("_bg.wasm"));
  modules.forEach((name) => order(path(name)));
  writeFileSync(path("worker_bg.wasm"), split(readFileSync(path("worker_bg.wasm"))));
  writeFileSync(
    path("worker_loader.js"),
    await shrink(`import start from "./worker.js";
      ${readFileSync("xtask/web/streams.mjs", "utf8").replaceAll("export ", "")}
      const answer = await fetch(new URL("worker_bg.wasm", import.meta.url));
      if (!answer.ok) throw new Error(\`\${answer.url}: \${answer.status}\`);
      await start({ module_or_path: join(new Uint8Array(await answer.arrayBuffer())) });`),
  );
}

const worker = `worker-${hash("worker.js", "worker_bg.wasm", "worker_loader.js")}`;
renameSync(path("worker_bg.wasm"), path(`${worker}_bg.wasm`));
writeFileSync(path(`${worker}.js`), readFileSync(path("worker.js"), "utf8").replaceAll("worker_bg.wasm", `${worker}_bg.wasm`));
const loader = readFileSync(path("worker_loader.js"), "utf8");
writeFileSync(
  path(`${worker}_loader.js`),
  loader.replaceAll("worker.js", `${worker}.js`).replaceAll("worker_bg.wasm", `${worker}_bg.wasm`),
);
const editor = `editor-${hash("editor.js")}.js`;
renameSync(path("editor.js"), path(editor));

["worker.js", "worker_loader.js"].forEach((name) => rmSync(path(name)));

const html = readFileSync(path("index.html"), "utf8")
  .replace(/\s*<!--.*?-->/gs, "")
  .replace("worker_loader.js", `${worker}_loader.js`)
  .replace("editor.js", editor);
writeFileSync(path("index.html"), html);
