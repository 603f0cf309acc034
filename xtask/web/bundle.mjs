// Before trunk builds: the style sheets become target/web/style.css, the editor (CodeMirror and our few lines
// around it) target/web/editor.js. index.html takes both from there. Of the fonts only what the page may show is kept.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import subset from "subset-font";
import { minify } from "terser";

const release = process.env.TRUNK_PROFILE === "release";
const out = "target/web";
rmSync(`${out}/fonts`, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

// ASCII, and what running text adds to it; in the weights that style/tokens.css asks for. Without a font's alternative
// letters (ligatures, old figures): nothing here switches them on. All of it were twice the size; accents, which only a
// user's own comments may bring, are lent by the system's font.
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index)).join("");
const SIGNS = `${span(0x20, 0x7e)}\u00a0–—‘’“”·•…→←↑↓×−≤≥≠′″µ⏎⤢⌘`;
const fonts = {
  name: "fonts",
  setup({ onLoad }) {
    onLoad({ filter: /\.woff2$/ }, async ({ path }) => ({
      contents: await subset(readFileSync(path), SIGNS, {
        targetFormat: "woff2",
        noLayoutClosure: true,
        variationAxes: { wght: { min: 400, max: 700 } },
      }),
      loader: "file",
    }));
  },
};

const common = { bundle: true, minify: release, legalComments: "none", logLevel: "warning" };
await Promise.all([
  build({
    ...common,
    entryPoints: ["style/main.css"],
    outfile: `${out}/style.css`,
    plugins: [fonts],
    assetNames: "fonts/[name]-[hash]",
  }),
  build({
    ...common,
    entryPoints: ["components/editor/editor.js"],
    outfile: `${out}/editor.js`,
    format: "esm",
    target: "es2022",
    sourcemap: release ? false : "inline",
  }),
]);

// Terser goes further than esbuild's own minifier: 3 % of the editor.
if (release) {
  const path = `${out}/editor.js`;
  const { code } = await minify(readFileSync(path, "utf8"), { module: true, ecma: 2020, compress: { passes: 3 } });
  writeFileSync(path, code);
}
