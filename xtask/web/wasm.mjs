// What the build needs to know of the form of a WebAssembly module.
//
// Picture to hold in mind: a book in a foreign language, read for its punctuation: where chapters and words begin and
// end, and of hardly a word what it means.

import { digits } from "./streams.mjs";

/** How many functions are imported, and the bytes of the others. The module comes from our own compiler. */
export function functionsOf(wasm) {
  let at = 8;
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = wasm[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  const skip = () => {
    const length = number();
    at += length;
  };
  const limits = () => {
    if (number() & 1) number();
    number();
  };
  let imported = 0;
  const bodies = [];
  while (at < wasm.length) {
    const [section, length] = [wasm[at++], number()];
    const end = at + length;
    if (section === 2) {
      for (let count = number(); count > 0; count -= 1) {
        skip();
        skip();
        const kind = wasm[at++];
        if (kind === 0) {
          number();
          imported += 1;
        } else if (kind === 3) at += 2;
        else {
          if (kind === 1) at += 1;
          limits();
        }
      }
    } else if (section === 10) {
      for (let count = number(); count > 0; count -= 1) {
        const size = number();
        bodies.push(wasm.subarray(at, at + size));
        at += size;
      }
    }
    at = end;
  }
  return { imported, bodies };
}

/** Where the `bodies` of the functions of `wasm` begin, behind their count, and where they end. */
export function codeOf(wasm, bodies) {
  const [first, last] = [bodies[0], bodies[bodies.length - 1]];
  // Before a body stands its length, of as few bytes as will do.
  return { start: first.byteOffset - wasm.byteOffset - digits(first.length).length, end: last.byteOffset - wasm.byteOffset + last.length };
}

/** Opcodes that two numbers follow, and those that one follows; other numbers of operands are told below. */
const TWO = (code) => code === 0x11 || (code >= 0x28 && code <= 0x3e);
const ONE = (code) =>
  (code >= 0x02 && code <= 0x04) ||
  [0x0c, 0x0d, 0x10, 0x3f, 0x40, 0x41, 0x42, 0xd0, 0xd2].includes(code) ||
  (code >= 0x20 && code <= 0x26);

/** Calls `visit` with the opcode and the first byte's place of every instruction of a function's `body`. */
export function instructionsOf(body, visit) {
  let at = 0;
  const skip = (numbers) => {
    for (; numbers > 0; numbers -= 1) while (body[at++] > 127);
  };
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = body[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  // Locals: how many of which type.
  skip(2 * number());
  while (at < body.length) {
    const start = at;
    const code = body[at++];
    if (TWO(code)) skip(2);
    else if (ONE(code)) skip(1);
    else if (code === 0x0e) skip(number() + 1);
    else if (code === 0x1c) skip(number());
    else if (code === 0x43) at += 4;
    else if (code === 0x44) at += 8;
    else if (code === 0xfc) {
      const more = number();
      skip(more < 8 ? 0 : more < 15 && more % 2 === 0 ? 2 : 1);
    }
    visit(code, start);
  }
}
