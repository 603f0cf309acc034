// A WebAssembly module sorted by what its bytes are: opcodes with opcodes, numbers of locals with numbers of locals, and
// those apart by what comes next. Compressors describe like beside like in fewer bits: a seventh of both modules.
//
// Picture to hold in mind: a letter cut into words, the words in trays by their kind, and the grammar by which they are
// laid in line again. The grammar is written once: `carry` walks one function, and moves each word whichever way
// its caller moves words. `split.mjs` fills the trays when the page is built; `load` fetches and empties them in the browser.
//
// What travels as one instruction, a copy of a few bytes, is written out in loads and stores when it has arrived: engines
// call a library for it, twelve bytes or a million. 7 % of the time of a thousand pods, which in the file would be 20 kB.
//
// The sorted form keeps the ending .wasm, because hosts compress that; it is no module until it is joined.

/**
 * Trays. Of GET there is one for each pair of kinds that follow, of CALL one for each kind before and use behind, of I32
 * one for each opcode that follows, and another one where a constant stands before it.
 */
const [OPCODE, LOCALS, BLOCK, BRANCH, BRANCH_IF, TABLE, INDIRECT, SET, TEE, GLOBAL, ALIGN, LOAD, STORE, I64, FLOAT, OTHER] =
  Array(16).keys();
const [GET, CALL, I32] = [16, 192, 256];

/** By opcode, how far a load or store reaches, as a power of two: from `i32.load` to `i64.store32`. */
export const REACH = [2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2];

/** What kind of thing an opcode does, as far as it tells how the number before it is meant. */
const KIND = Uint8Array.from({ length: 256 }, (_, code) => {
  if (code >= 0x28 && code <= 0x35) return 1;
  if (code >= 0x36 && code <= 0x3e) return 2;
  if (code === 0x6a || code === 0x6b) return 3;
  if (code === 0x0d || code === 0x04 || code === 0x45) return 4;
  return 6 + [0x10, 0x20, 0x41, 0x42].indexOf(code);
});
/** What becomes of a call's result, as far as it tells who was called: kept, asked, or never there. */
const use = (code) => (code === 0x21 || code === 0x22 ? 1 : KIND[code] === 4 ? 2 : code === 0 ? 3 : 0);
/** `local.get` and `i32.const`: operands whose use is told by what follows them. */
const isOperand = (code) => code === 0x20 || code === 0x41;

/** Copies of fewer bytes are written out. As a constant such a number takes one byte. */
const FEW = 64;
/** No copy takes more bytes when it is written out. */
const LONGEST = 192;

/**
 * Carries the body of one function. `way.codes` are the opcodes of all functions and `way.next` the place of the next;
 * `way.code()`, `way.byte(tray, mask)` and `way.number(tray)` move one word and tell what it was. `way.locals(count)` hears
 * how many locals have been declared, and `way.copied(bytes)` of a copy of few bytes.
 */
export function carry(way) {
  let locals = 0;
  for (let groups = way.number(LOCALS); groups > 0; groups -= 1) {
    locals += way.number(LOCALS);
    way.byte(LOCALS, 0);
  }
  way.locals?.(locals);
  for (let depth = 1, code = 0, constant = 0; depth > 0; ) {
    const before = code;
    code = way.code();
    const [next, second] = [way.codes[way.next], way.codes[way.next + 1]];
    if (code === 0x20) way.number(GET + 16 * KIND[next] + (isOperand(next) ? KIND[second] : 0));
    else if (code >= 0x28 && code <= 0x3e) {
      // As a rule the alignment is the natural one; what is written is how it differs.
      way.byte(ALIGN, REACH[code - 0x28]);
      way.number(code < 0x36 ? LOAD : STORE);
    } else if (code === 0x41) constant = way.number(I32 + next + (before === 0x41 ? 256 : 0));
    else if (code === 0x10) way.number(CALL + 4 * KIND[before] + use(next));
    else if (code === 0x21) way.number(SET);
    else if (code === 0x22) way.number(TEE);
    else if (code === 0x0c) way.number(BRANCH);
    else if (code === 0x0d) way.number(BRANCH_IF);
    else if (code >= 0x02 && code <= 0x04) {
      way.number(BLOCK);
      depth += 1;
    } else if (code === 0x0b) depth -= 1;
    else if (code === 0x23 || code === 0x24) way.number(GLOBAL);
    else if (code === 0x42) way.number(I64);
    else if (code === 0x0e) for (let targets = way.number(TABLE); targets >= 0; targets -= 1) way.number(TABLE);
    else if (code === 0x11) {
      way.number(INDIRECT);
      way.number(INDIRECT);
    } else if (code === 0x43 || code === 0x44) for (let bytes = 4 * (code - 0x42); bytes > 0; bytes -= 1) way.byte(FLOAT, 0);
    else if (code === 0xfc) {
      const more = way.number(OTHER);
      for (let numbers = more < 8 ? 0 : more < 15 && more % 2 === 0 ? 2 : 1; numbers > 0; numbers -= 1) way.number(OTHER);
      if (more === 10 && before === 0x41 && constant >>> 0 < FEW) way.copied?.(constant);
    } else if ([0x25, 0x26, 0x3f, 0x40, 0xd0, 0xd2].includes(code)) way.number(OTHER);
  }
}

/** The module whose sorted form is at `address`. */
export async function load(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  return join(new Uint8Array(await answer.arrayBuffer()));
}

/** The loads and stores that copy `bytes` bytes from the address in the local `from` to the one in `to`. */
function copying(bytes, from, to) {
  const [loads, stores] = [[], []];
  let at = 0;
  for (const [reach, load, store] of [[8, 0x29, 0x37], [4, 0x28, 0x36], [2, 0x2f, 0x3b], [1, 0x2d, 0x3a]])
    for (; bytes - at >= reach; at += reach) {
      loads.push(0x20, ...digits(to), 0x20, ...digits(from), load, 0, at);
      // What was loaded last is stored first; and all is loaded before: the places may overlap.
      stores.unshift(store, 0, at);
    }
  return [...loads, ...stores];
}

/** A number as its digits, of seven bits each. */
export function digits(number) {
  const all = [];
  for (; number > 127; number >>>= 7) all.push((number & 127) | 128);
  return [...all, number];
}

/** How many parameters each function has, and where the length of the code is told: from what stands `before` the code. */
function parametersOf(before) {
  const [counts, parameters] = [[], []];
  let at = 8;
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = before[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  for (;;) {
    const section = before[at++];
    const place = at;
    const end = number() + at;
    if (section === 1)
      for (let types = number(); types > 0; types -= 1) {
        at += 1;
        counts.push(number());
        at += counts.at(-1);
        const results = number();
        at += results;
      }
    else if (section === 3) for (let functions = number(); functions > 0; functions -= 1) parameters.push(counts[number()]);
    else if (section === 10) return { parameters, place, start: at };
    at = end;
  }
}

/** The module of a sorted file; as it was when it was sorted, if `asItWas`. */
export function join(sorted, asItWas = false) {
  const line = sorted.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(sorted.subarray(0, line)));
  const trays = [];
  let from = line + 1;
  const take = (length) => sorted.subarray(from, (from += length));
  const before = take(head.before);
  const after = take(head.after);
  for (const [tray, length] of head.trays) trays[tray] = take(length);
  // Some codes stand for two, each of which may stand for two.
  const words = Array.from({ length: 256 }, (_, code) => [code]);
  for (const [code, first, second] of head.pairs) words[code] = [...words[first], ...words[second]];
  const codes = new Uint8Array(head.opcodes);
  let filled = 0;
  for (const word of trays[OPCODE]) for (const code of words[word]) codes[filled++] = code;
  const read = new Uint32Array(trays.length);

  const module = new Uint8Array(head.length + head.copies * LONGEST);
  module.set(before);
  let at = before.length;
  const insert = (place, bytes) => {
    module.copyWithin(place + bytes.length, place, at);
    module.set(bytes, place);
    at += bytes.length;
  };
  const way = {
    codes,
    next: 0,
    code: () => (module[at++] = way.codes[way.next++]),
    byte: (tray, mask) => (module[at++] = trays[tray][read[tray]++] ^ mask),
    number: (tray) => {
      for (let value = 0, shift = 0; ; shift += 7) {
        const byte = (module[at++] = trays[tray][read[tray]++]);
        value |= (byte & 127) << shift;
        if (byte < 128) return value;
      }
    },
  };
  const { parameters, place, start } = parametersOf(before);
  // The numbers of the locals in the function at hand, where they are declared, and whether it needs two more.
  let [locals, declared, copies] = [0, 0, false];
  if (!asItWas) {
    way.locals = (count) => ([locals, declared] = [locals + count, at]);
    way.copied = (bytes) => {
      copies = true;
      // In place of the constant (two bytes) and the copy (four).
      at -= 6;
      const both = [0x21, ...digits(locals), 0x21, ...digits(locals + 1)];
      insert(at, [...both, ...copying(bytes, locals, locals + 1)]);
    };
  }
  for (let index = 0; index < head.functions; index += 1) {
    const body = at;
    [locals, copies] = [parameters[index], false];
    carry(way);
    if (copies) {
      // Another group of locals: two of 32 bits. wasm-opt makes one of each type, so their count has one digit.
      insert(declared, [2, 0x7f]);
      module[body] += 1;
    }
    // Its length stands before it, and is known behind it.
    insert(body, digits(at - body));
  }
  // So does that of all.
  const length = digits(at - start);
  module.copyWithin(place + length.length, start, at);
  module.set(length, place);
  at += place + length.length - start;
  module.set(after, at);
  return module.subarray(0, at + after.length);
}
