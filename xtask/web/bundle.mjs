// Before trunk builds: the style sheets become target/web/style.css, the editor (CodeMirror and our few lines
// around it) target/web/editor.js. index.html takes both from there.

import { mkdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const release = process.env.TRUNK_PROFILE === "release";
const out = "target/web";
rmSync(`${out}/fonts`, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const common = { bundle: true, minify: release, legalComments: "none", logLevel: "warning" };
await Promise.all([
  build({
    ...common,
    entryPoints: ["style/main.css"],
    outfile: `${out}/style.css`,
    loader: { ".woff2": "file" },
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
