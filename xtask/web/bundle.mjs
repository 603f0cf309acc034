// Before trunk builds: the style sheets become target/web/style.css, the editor (CodeMirror and our few lines
// around it) target/web/editor.js. index.html takes both from there. Of the fonts only what the page may show is kept.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { build } from "esbuild";
import subset from "subset-font";

const release = process.env.TRUNK_PROFILE === "release";
const out = "target/web";
rmSync(`${out}/fonts`, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

// ASCII, Latin-1, and what running text adds to them; in the weights that style/tokens.css asks for. Without a font's
// alternative letters (ligatures, old figures): nothing here switches them on. All of it were twice the size.
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index)).join("");
const SIGNS = `${span(0x20, 0x7e)}${span(0xa0, 0xff)}–—‘’“”•…→←↑↓×−≤≥≠′″€™⏎⤢⌘`;
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
