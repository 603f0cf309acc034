// Every text colour on every ground that it is used on: a contrast of at least 4.5:1, in both themes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const sheet = readFileSync(new URL("../../style/tokens.css", import.meta.url), "utf8");
const block = (selector) => {
  const [, body] = sheet.match(new RegExp(`${selector}\\s*\\{([^}]*)\\}`));
  return Object.fromEntries([...body.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
};

const luminance = (colour) => {
  const channel = (index) => {
    const value = parseInt(colour.slice(index, index + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
};
const contrast = (a, b) => {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};

const GROUNDS = ["ground", "surface", "surface-raised", "surface-sunken", "surface-selected"];
const PAIRS = [
  ...["ink", "ink-muted", "ink-faint"].flatMap((text) => GROUNDS.map((ground) => [text, ground])),
  ...["steady", "motion", "etcd", "failed"].flatMap((colour) => [
    [`on-${colour}`, colour],
    [colour, "surface"],
    [colour, "ground"],
    [colour, "surface-raised"],
    [colour, `${colour}-soft`],
    ["ink", `${colour}-soft`],
  ]),
  ["on-slab", "slab"],
  ...["code-key", "code-string", "code-number", "code-comment"].flatMap((code) => [
    [code, "surface"],
    [code, "surface-selected"],
  ]),
];

for (const theme of ["light", "dark"]) {
  test(`text can be read in the ${theme} theme`, () => {
    const colours = block(`:root\\[data-theme="${theme}"\\]`);
    const faint = PAIRS.map(([text, ground]) => {
      assert.ok(colours[text] && colours[ground], `${text} and ${ground} are tokens`);
      return [`${text} on ${ground}`, contrast(colours[text], colours[ground])];
    }).filter(([, ratio]) => ratio < 4.5);
    assert.deepEqual(faint, []);
  });
}
