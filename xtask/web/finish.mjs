// After trunk has built: trunk gives the page's files names that change with their content, but not the worker's
// and not the editor's. A browser that kept an old worker beside a new page would be a riddle, so they get such
// names here, and index.html learns them (the page reads the meta elements). In a release the scripts shrink, functions
// change places, and both modules are sorted for compression; who asks for one joins it again (streams.mjs).

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
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

const read = (name) => readFileSync(path(name), "utf8");
const rewrite = (name, change) => writeFileSync(path(name), change(read(name)));
const names = readdirSync(directory);
const page = names.find((name) => /^page-.*_bg\.wasm$/.test(name)).replace("_bg.wasm", "");
/** What is renamed: a stem of names, and what is named by it. */
const families = { [page]: [".js", "_bg.wasm"], worker: [".js", "_bg.wasm", "_loader.js"], editor: [".js"] };

if (release) {
  for (const name of names.filter((name) => name.endsWith(".js") && name !== "editor.js")) {
    writeFileSync(path(name), await shrink(read(name)));
  }
  for (const name of [`${page}_bg.wasm`, "worker_bg.wasm"]) {
    order(path(name));
    writeFileSync(path(name), split(readFileSync(path(name))));
  }
  families.streams = [".js"];
  writeFileSync(path("streams.js"), await shrink(readFileSync("xtask/web/streams.mjs", "utf8")));
  writeFileSync(
    path("worker_loader.js"),
    await shrink(`import start from "./worker.js";
      import { load } from "./streams.js";
      await start({ module_or_path: await load(new URL("worker_bg.wasm", import.meta.url)) });`),
  );
  const sorted = `'./${page}_bg.wasm'`;
  rewrite("index.html", (html) => {
    if (!html.includes(`path: ${sorted}`)) throw new Error("index.html does not start the page as it used to");
    return html
      .replace("import init", "import { load } from './streams.js';\nimport init")
      .replace(`path: ${sorted}`, `path: await load(${sorted})`)
      .replace("<link rel=\"modulepreload\"", "<link rel=\"modulepreload\" href=\"./streams.js\">$&");
  });
}

// A module's name also tells how it was sorted.
const seal = release ? ["streams.js"] : [];
const sealed = Object.entries(families).map(([stem, endings]) => {
  const digest = hash(...endings.map((ending) => stem + ending), ...seal);
  return [stem, `${stem.replace(/-.*/, "")}-${digest}`, endings];
});
const renamed = sealed.flatMap(([stem, name, endings]) => endings.map((ending) => [stem + ending, name + ending]));
const learn = (text) => renamed.reduce((text, [before, after]) => text.replaceAll(before, after), text);
for (const [before, after] of renamed) {
  if (before.endsWith(".js") && before !== "editor.js") rewrite(before, learn);
  renameSync(path(before), path(after));
}
rewrite("index.html", (html) => learn(html.replace(/\s*<!--.*?-->/gs, "")));
