// Sorts a WebAssembly module for compression: see streams.mjs.

import { codeOf, functionsOf, instructionsOf } from "./wasm.mjs";
import { carry, join } from "./streams.mjs";

/**
 * Makes the pair of `codes` that stands most often side by side one code, again and again, and tells which code is which
 * pair. A compressor that foresees a byte by the two before it then foresees it by more. 5 % of the opcodes.
 */
function pair(codes) {
  const used = new Set(codes);
  const spare = [...Array(256).keys()].filter((code) => !used.has(code));
  return spare.map((code) => {
    const counts = new Uint32Array(1 << 16);
    for (let at = 1; at < codes.length; at += 1) counts[(codes[at - 1] << 8) | codes[at]] += 1;
    const most = counts.indexOf(counts.reduce((most, count) => Math.max(most, count)));
    const [first, second] = [most >> 8, most & 255];
    let end = 0;
    for (let at = 0; at < codes.length; at += 1) {
      const isPair = codes[at] === first && codes[at + 1] === second;
      codes[end++] = isPair ? code : codes[at];
      if (isPair) at += 1;
    }
    codes.length = end;
    return [code, first, second];
  });
}

/** The sorted form of `wasm`. Throws when joining it would give anything else than `wasm`. */
export function split(wasm) {
  const { bodies } = functionsOf(wasm);
  const codes = bodies.flatMap((body) => {
    const found = [];
    instructionsOf(body, (code) => found.push(code));
    return found;
  });
  const trays = [codes];
  const tray = (number) => (trays[number] ??= []);
  let [body, at, copies] = [null, 0, 0];
  const way = {
    codes,
    next: 0,
    code: () => {
      at += 1;
      return codes[way.next++];
    },
    byte: (number, mask) => {
      tray(number).push(body[at] ^ mask);
      return body[at++];
    },
    number: (number) => {
      for (let value = 0, shift = 0; ; shift += 7) {
        const byte = body[at++];
        tray(number).push(byte);
        value |= (byte & 127) << shift;
        if (byte < 128) return value;
      }
    },
    copied: () => (copies += 1),
  };
  for (body of bodies) {
    at = 0;
    carry(way);
    if (at !== body.length) throw new Error(`a function ends at ${body.length}, and not at ${at}`);
  }
  const code = codeOf(wasm, bodies);
  const [before, after] = [wasm.subarray(0, code.start), wasm.subarray(code.end)];
  const opcodes = codes.length;
  const pairs = pair(codes);
  const filled = Object.entries(trays).map(([number, bytes]) => [Number(number), Uint8Array.from(bytes)]);
  const head = {
    length: wasm.length,
    functions: bodies.length,
    before: before.length,
    after: after.length,
    copies,
    opcodes,
    pairs,
    trays: filled.map(([number, bytes]) => [number, bytes.length]),
  };
  const parts = [new TextEncoder().encode(`${JSON.stringify(head)}\n`), before, after, ...filled.map(([, bytes]) => bytes)];
  const sorted = Buffer.concat(parts);
  if (Buffer.compare(join(sorted, true), wasm) !== 0) throw new Error("the sorted module does not join to what it was");
  if (!WebAssembly.validate(join(sorted))) throw new Error("the sorted module does not join to a module");
  return sorted;
}
