// A module that was sorted for its journey does after it what it did before: copies of a few bytes among the rest, which
// are written out on arrival.

import assert from "node:assert/strict";
import test from "node:test";
import binaryen from "binaryen";
import { split } from "../../xtask/web/split.mjs";
import { join } from "../../xtask/web/streams.mjs";

/** Beyond what is written out, and below. */
const SIZES = Array.from({ length: 70 }, (_, bytes) => bytes);

/** For each size a function with another number of locals: some have none, some as many as take two bytes to number. */
const copies = SIZES.map((bytes) => {
  const locals = Array.from({ length: bytes * 3 }, (_, index) => (index % 2 ? "(local i64)" : "(local i32)")).join(" ");
  return `(func (export "copy${bytes}") (param i32 i32) (result i32) ${locals}
    (memory.copy (local.get 0) (local.get 1) (i32.const ${bytes}))
    (if (i32.eqz (local.get 0)) (then (memory.copy (i32.const 512) (local.get 1) (i32.const ${bytes}))))
    (i32.add (local.get 0) (i32.const ${bytes})))`;
});
const TEXT = `(module (memory (export "memory") 1)
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "any") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  ${copies.join("\n")})`;

function built() {
  binaryen.setOptimizeLevel(0);
  const module = binaryen.parseText(TEXT);
  module.setFeatures(binaryen.Features.All);
  assert.ok(module.validate());
  return module.emitBinary();
}

/** What memory holds after every copy, from below its source, from above it and from afar. */
function traces(wasm) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(wasm));
  const memory = new Uint8Array(exports.memory.buffer);
  return SIZES.flatMap((bytes) =>
    [0, 1, 7, 30, 33, 36, 200].map((to) => {
      for (let place = 0; place < 600; place += 1) memory[place] = place * 7 + 3;
      exports.fill(300, bytes, 5);
      exports.any(310, 299, bytes);
      return [exports[`copy${bytes}`](to, 33), ...memory.slice(0, 600)];
    }),
  );
}

test("a sorted module does what it did", () => {
  const wasm = Buffer.from(built());
  const sorted = split(wasm);
  assert.deepEqual(Buffer.from(join(sorted, true)), wasm);
  const joined = join(sorted);
  assert.ok(joined.length > wasm.length, "no copy was written out");
  assert.deepEqual(traces(joined), traces(wasm));
});
