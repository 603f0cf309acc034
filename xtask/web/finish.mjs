// After trunk has built: trunk gives the page's files names that change with their content, but not the worker's
// and not the editor's. A browser that kept an old worker beside a new page would be a riddle, so they get such
// names here, and index.html learns them (the page reads the meta elements). In a release the scripts shrink, and
// functions change places.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { minify } from "terser";
import { order } from "./order.mjs";

const directory = process.env.TRUNK_STAGING_DIR;
const release = process.env.TRUNK_PROFILE === "release";
const path = (name) => join(directory, name);
const hash = (...names) => {
  const digest = createHash("sha256");
  names.forEach((name) => digest.update(readFileSync(path(name))));
  return digest.digest("hex").slice(0, 16);
};

if (release) {
  const scripts = readdirSync(directory).filter((name) => name.endsWith(".js") && name !== "editor.js");
  for (const name of scripts) {
    const { code } = await minify(readFileSync(path(name), "utf8"), { module: true, ecma: 2020 });
    writeFileSync(path(name), code);
  }
  const modules = readdirSync(directory).filter((name) => name.endsWith("_bg.wasm"));
  modules.forEach((name) => order(path(name)));
}

const worker = `worker-${hash("worker.js", "worker_bg.wasm")}`;
renameSync(path("worker_bg.wasm"), path(`${worker}_bg.wasm`));
writeFileSync(path(`${worker}.js`), readFileSync(path("worker.js"), "utf8").replaceAll("worker_bg.wasm", `${worker}_bg.wasm`));
writeFileSync(path(`${worker}_loader.js`), readFileSync(path("worker_loader.js"), "utf8").replaceAll("worker.js", `${worker}.js`));
const editor = `editor-${hash("editor.js")}.js`;
renameSync(path("editor.js"), path(editor));

["worker.js", "worker_loader.js"].forEach((name) => rmSync(path(name)));

const html = readFileSync(path("index.html"), "utf8")
  .replace(/\s*<!--.*?-->/gs, "")
  .replace("worker_loader.js", `${worker}_loader.js`)
  .replace("editor.js", editor);
writeFileSync(path("index.html"), html);
