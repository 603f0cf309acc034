// Functions that resemble each other are put side by side: brotli describes what it has just seen in fewer bits. In front
// of them stay those that are called most, whose numbers take one byte. 3 % of the worker.
//
// Picture to hold in mind: a row of portraits hung so that each is next to the one that looks most like it.
//
// wasm-opt can hang functions in the order of their names. So each gets the number of its place for a name.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { REACH } from "./streams.mjs";
import { functionsOf, instructionsOf } from "./wasm.mjs";

/** Functions below this number are called by one byte. */
const SHORT = 128;
/** Bytes that make up one feature of a function's looks. */
const SHINGLE = 5;
/** A feature that more functions have says nothing of any. */
const COMMON = 1000;
/** What a feature still counts when one more function hangs between: not the last one alone is near enough to copy from. */
const FADING = 0.7;

/** Hangs the functions of the module at `path` anew. */
export function order(path) {
  const wasm = readFileSync(path);
  const { imported, bodies } = functionsOf(wasm);
  bodies.forEach(trust);
  const names = new Array(imported + bodies.length);
  for (let index = 0; index < imported; index += 1) names[index] = `!${String(index).padStart(6, "0")}`;
  neighbours(bodies, Math.max(0, SHORT - imported)).forEach((body, place) => (names[imported + body] = String(place).padStart(6, "0")));
  const numbered = `${path}.numbered`;
  writeFileSync(numbered, Buffer.concat([wasm, nameSection(names)]));
  const passes = ["--reorder-functions-by-name", "--strip-debug"];
  execFileSync(process.execPath, ["node_modules/binaryen/bin/wasm-opt", numbered, ...passes, "--output", path]);
  rmSync(numbered);
}

const LOAD = 0x28;

/**
 * Lets every load and store of `body` say that its address is a multiple of its reach. Half of what is wider than four
 * bytes says less, and which half is hard to foretell: 0.3 % of the worker. What is said is a hint that may be wrong;
 * the engines of 64-bit machines do not even read it.
 */
function trust(body) {
  instructionsOf(body, (code, start) => {
    const reach = REACH[code - LOAD];
    if (reach !== undefined) body[start + 1] = reach;
  });
}

/** Indices of `bodies`, the `first` ones before all others: each followed by the one that shares most with those just hung. */
function neighbours(bodies, first) {
  const looks = bodies.map((body) => {
    const found = new Set();
    for (let start = 0; start + SHINGLE <= body.length; start += 1) {
      let hash = 0x811c9dc5;
      for (let index = start; index < start + SHINGLE; index += 1) hash = Math.imul(hash ^ body[index], 0x01000193);
      found.add(hash);
    }
    return [...found];
  });
  const owners = new Map();
  looks.forEach((all, body) =>
    all.forEach((feature) => {
      if (!owners.has(feature)) owners.set(feature, []);
      owners.get(feature).push(body);
    }),
  );
  // What nobody else has is no help either.
  const tells = (feature) => owners.get(feature).length > 1 && owners.get(feature).length <= COMMON;
  const features = looks.map((all) => all.filter(tells));
  const shared = new Float64Array(bodies.length);
  const hung = new Set();
  /** Hangs one; says which of those before `end` looks most like it and what hangs before it. */
  const hang = (body, end) => {
    hung.add(body);
    shared.forEach((weight, other) => (shared[other] = weight * FADING));
    for (const feature of features[body]) {
      const all = owners.get(feature);
      // What few have tells more.
      const weight = 1 / Math.log2(1 + all.length);
      for (const other of all) shared[other] += weight;
    }
    let [best, most] = [undefined, 0];
    for (let other = 0; other < end; other += 1) {
      if (shared[other] === 0 || hung.has(other)) continue;
      const likeness = shared[other] / (8 + features[other].length);
      if (likeness > most) [best, most] = [other, likeness];
    }
    return best;
  };
  // Where nothing resembles the last ones, the row goes on with the first of those left, by their bytes.
  const rest = bodies.map((_, body) => body).sort((a, b) => Buffer.compare(bodies[a], bodies[b]));
  for (const end of [first, bodies.length]) {
    let next;
    while (hung.size < end) next = hang(next ?? rest.find((body) => body < end && !hung.has(body)), end);
  }
  return [...hung];
}

/** A module's section that names its functions. */
function nameSection(names) {
  const number = (value) => {
    const bytes = [];
    for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
    return Buffer.from([...bytes, value]);
  };
  const sized = (buffer) => Buffer.concat([number(buffer.length), buffer]);
  const entries = names.map((name, index) => Buffer.concat([number(index), sized(Buffer.from(name))]));
  const functions = sized(Buffer.concat([number(names.length), ...entries]));
  const payload = Buffer.concat([sized(Buffer.from("name")), Buffer.from([1]), functions]);
  return Buffer.concat([Buffer.from([0]), sized(payload)]);
}
