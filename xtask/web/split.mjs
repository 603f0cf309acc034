// Sorts a WebAssembly module for compression: see streams.mjs.

import { codeOf, functionsOf, instructionsOf } from "./wasm.mjs";
import { carry, join } from "./streams.mjs";

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
  let [body, at] = [null, 0];
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
  };
  for (body of bodies) {
    at = 0;
    carry(way);
    if (at !== body.length) throw new Error(`a function ends at ${body.length}, and not at ${at}`);
  }
  const code = codeOf(wasm, bodies);
  const [before, after] = [wasm.subarray(0, code.start), wasm.subarray(code.end)];
  const filled = Object.entries(trays).map(([number, bytes]) => [Number(number), Uint8Array.from(bytes)]);
  const head = {
    length: wasm.length,
    functions: bodies.length,
    before: before.length,
    after: after.length,
    trays: filled.map(([number, bytes]) => [number, bytes.length]),
  };
  const parts = [new TextEncoder().encode(`${JSON.stringify(head)}\n`), before, after, ...filled.map(([, bytes]) => bytes)];
  const sorted = Buffer.concat(parts);
  if (Buffer.compare(Buffer.from(join(sorted)), wasm) !== 0) throw new Error("the sorted module does not join to what it was");
  return sorted;
}
