// One case of the page's tests: a page opened afresh, and in the end nothing that the browser had to complain about.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, serve } from "./driver.mjs";

/** Starts host and browser for a file of tests; gives what its cases are written with. */
export function visitor() {
  let browser, host;
  before(async () => {
    host = await serve();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    host?.close();
  });
  /** A test with a freshly opened page; `complains`: the browser is expected to. */
  return function visit(name, act, { options, complains = false } = {}) {
    test(name, { timeout: 90_000 }, async () => {
      const { context, page, complaints } = await open(browser, host.address, options);
      try {
        await act(page, host.address);
        if (!complains) assert.deepEqual(complaints, []);
      } finally {
        await context.close();
      }
    });
  };
}

/** Enters a line at the page's door. */
export const exec = (page, line) => page.evaluate((line) => window.clusterarium.exec(line), line);
