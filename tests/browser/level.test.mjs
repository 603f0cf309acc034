// How closely the etcd lens looks, and the way from an entry of a log to the request that made it.

import assert from "node:assert/strict";
import { running } from "./driver.mjs";
import { exec, visitor } from "./visit.mjs";

const visit = visitor();
const inspector = (page) => page.getByRole("region", { name: "Inspector" });
const hand = (page) => page.getByRole("group", { name: "Set-ups" });
const dial = (page) => page.getByLabel("Level of detail");
const told = (page) => page.getByRole("list", { name: "What etcd's members do, the newest first" });

const etcd = async (page) => {
  await page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name: "etcd", exact: true }).click();
  await hand(page).waitFor();
};

visit("the level is chosen by keys and remembered; the lowest tells who votes for whom", async (page) => {
  await exec(page, "kubectl get nodes");
  await etcd(page);
  assert.equal(await told(page).count(), 0);
  await dial(page).focus();
  await page.keyboard.press("ArrowUp");
  await told(page).waitFor();
  // All that is told, in its order: it goes by faster than one sentence at a time could be waited for.
  await page.evaluate(() => {
    window.all = [];
    const note = () => {
      for (const line of [...document.querySelectorAll(".told li")].reverse())
        if (!window.all.includes(line.innerText)) window.all.push(line.innerText);
    };
    new MutationObserver(note).observe(document.querySelector(".told"), { childList: true, subtree: true, characterData: true });
  });
  await page.locator(".stage canvas").focus();
  await page.keyboard.press("2");
  await page.waitForFunction(() => window.all.some((line) => /^m\d has \d of 3 votes .*leads term \d+$/.test(line)));
  const all = await page.evaluate(() => window.all);
  const place = (pattern) => all.findIndex((line) => pattern.test(line));
  assert.ok(place(/^m\d votes for m\d: /) >= 0, all.join("\n"));
  assert.ok(place(/^m\d votes for m\d: /) < place(/leads term/), all.join("\n"));
  await page.reload();
  await running(page);
  await etcd(page);
  assert.equal(await dial(page).inputValue(), "Beginner");
  await told(page).waitFor();
  await dial(page).selectOption("Wire");
  await told(page).waitFor({ state: "detached" });
});

visit("while presenting, the caption tells of the members", async (page) => {
  await exec(page, "kubectl get nodes");
  await etcd(page);
  await dial(page).selectOption("Beginner");
  await page.getByRole("button", { name: "Present" }).click();
  await page.keyboard.press("2");
  await page.locator(".caption").getByText(/leads term|has entry|is on a majority/).waitFor();
});

visit("from an entry to the request of Kubernetes, and back", async (page) => {
  await exec(page, "kubectl create configmap news");
  await etcd(page);
  await page.getByRole("button", { name: "Pause", exact: true }).first().click();
  await hand(page).getByRole("button", { name: "Keys", exact: true }).click();
  const open = (name) => inspector(page).getByRole("button", { name }).last().click();
  for (const name of ["/registry/", "configmaps/", "default/", "news", /^entry \d+$/, /^POST /]) await open(name);
  await inspector(page).getByText("Request line").waitFor();
  await inspector(page).locator("ins", { hasText: "uid: " }).waitFor();
  await open(/^entry \d+$/);
  await inspector(page).getByText("Raft entry").waitFor();
  await inspector(page).locator(".card-yaml", { hasText: "request_put" }).waitFor();
});

visit(
  "on a phone all can be mended wherever the row of buttons is",
  async (page) => {
    await exec(page, "kubectl get nodes");
    await etcd(page);
    const row = page.locator(".hand-row");
    await hand(page).getByRole("button", { name: /^Leader alone/ }).click();
    const mend = hand(page).getByRole("button", { name: /^Mend all/ });
    await mend.waitFor();
    await row.evaluate((row) => row.scrollTo(row.scrollWidth, 0));
    const { x, width } = await mend.boundingBox();
    assert.ok(x >= 0 && x + width <= 390, `${x} + ${width}`);
    await mend.click();
    await mend.waitFor({ state: "detached" });
  },
  { options: { viewport: { width: 390, height: 844 } } },
);
