// Prints each file of dist/ with its size raw and as brotli would send it, and fails when over budget.

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const directory = process.argv[2] ?? "dist";
const BUDGET_KB = { all: 1500, paint: 600 };

const files = readdirSync(directory, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(directory, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/"))
  .sort();

// What the browser must have before it can paint the page: what index.html names itself. The worker and the editor
// are asked for by the running page; the meta elements only carry their names.
const html = readFileSync(join(directory, "index.html"), "utf8").replace(/<meta[^>]*>/g, "");
const named = (file) => file === "index.html" || html.includes(file);

const rows = files.map((file) => {
  const bytes = readFileSync(join(directory, file));
  const brotli = brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
    },
  }).length;
  return { file, raw: bytes.length, brotli, paint: named(file) };
});

const kb = (bytes) => (bytes / 1000).toFixed(1);
const total = (of, paint = false) => rows.filter((row) => !paint || row.paint).reduce((sum, row) => sum + row[of], 0);
const line = (name, raw, brotli, note = "") => console.log(`${name.padEnd(44)}${raw.padStart(10)}${brotli.padStart(10)}  ${note}`);
line("file", "raw kB", "brotli kB");
rows.forEach((row) => line(row.file, kb(row.raw), kb(row.brotli), row.paint ? "before first paint" : ""));
const sums = [
  ["before first paint", total("raw", true), total("brotli", true), BUDGET_KB.paint],
  ["in all", total("raw"), total("brotli"), BUDGET_KB.all],
];
let over = false;
for (const [name, raw, brotli, budget] of sums) {
  const fits = brotli <= budget * 1000;
  over ||= !fits;
  line(name, kb(raw), kb(brotli), `budget ${budget} kB: ${fits ? "within" : "OVER"}`);
}
process.exit(over ? 1 : 0);
