// The user's hand in the etcd lens: what is dragged, clicked or pressed becomes a command in the session's log, and is seen.

import assert from "node:assert/strict";
import { exec, visitor } from "./visit.mjs";

const visit = visitor();
const inspector = (page) => page.getByRole("region", { name: "Inspector" });
const hand = (page) => page.getByRole("group", { name: "Set-ups" });
const caption = (page) => hand(page).getByRole("status");

/** The commands of the session as it is kept, without their instants. */
const log = (page) =>
  page.evaluate(() => JSON.parse(localStorage.getItem("clusterarium.session")).log.map(([, command]) => command));
const is = (command, name) => command === name || command[name] !== undefined;
/** Waits until the log has a command of this name; gives the last. */
const logged = async (page, name) => {
  await page.waitForFunction((name) => localStorage.getItem("clusterarium.session")?.includes(`"${name}"`), name);
  return (await log(page)).findLast((command) => is(command, name))[name];
};

const etcd = async (page) => {
  await exec(page, "kubectl get nodes");
  await page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name: "etcd", exact: true }).click();
  await hand(page).waitFor();
  await page.waitForTimeout(500);
  return page.locator(".stage canvas").boundingBox();
};

visit("a line across the ring parts its members, and Undo joins them", async (page) => {
  const { x, y, width, height } = await etcd(page);
  // Below the first member and above the others, from side to side of the ring.
  await page.mouse.move(x + width * 0.03, y + height * 0.38);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.2, y + height * 0.38);
  await page.mouse.move(x + width * 0.39, y + height * 0.38);
  await page.mouse.up();
  const { sides } = await logged(page, "Partition");
  assert.deepEqual(sides.map((side) => side.toSorted()).toSorted(), [["etcd-2", "etcd-3"], ["etcd-cp-1"]]);
  await caption(page).getByText("no longer reach each other").waitFor();
  await hand(page).getByRole("button", { name: /^Mend all/ }).waitFor();
  await hand(page).getByRole("button", { name: "Undo" }).click();
  await logged(page, "JoinLink");
  await hand(page).getByRole("button", { name: /^Mend all/ }).waitFor({ state: "detached" });
});

visit("who cannot drag parts the members by a form, and sets the scene by keys", async (page) => {
  await etcd(page);
  await hand(page).getByText("More").click();
  await hand(page).getByLabel("m2").check();
  await hand(page).getByRole("button", { name: "Cut", exact: true }).click();
  assert.deepEqual((await logged(page, "Partition")).sides, [["etcd-2"], ["etcd-cp-1", "etcd-3"]]);
  await page.locator(".stage canvas").focus();
  await page.keyboard.press("m");
  await logged(page, "HealNetwork");
  await hand(page).getByRole("button", { name: /^Mend all/ }).waitFor({ state: "detached" });
  await page.keyboard.press("1");
  await logged(page, "StopProcess");
  assert.equal((await log(page)).filter((command) => is(command, "Campaign")).length, 2);
  await caption(page).getByText("Each votes for itself").waitFor();
});

visit("a message on its way is held by a click, and dropped from its card", async (page) => {
  const { x, y, width, height } = await etcd(page);
  await page.getByRole("button", { name: "Pause", exact: true }).first().click();
  const tip = page.locator(".stage-tip");
  // Between the first member and the second; in the middle of the ring no other cable is near.
  const along = (share) => [x + width * (0.21 + 0.1 * share), y + height * (0.25 + 0.28 * share)];
  const find = async () => {
    for (let share = 0; share <= 1; share += 0.04) {
      await page.mouse.move(...along(share));
      if ((await tip.count()) > 0 && /^Msg/.test(await tip.innerText())) return along(share);
    }
  };
  let place;
  for (let times = 0; times < 60 && !place; times += 1) {
    await page.locator("body").press("ArrowRight");
    await page.waitForTimeout(120);
    place = await find();
  }
  assert.ok(place, "a message between two members was met");
  await page.mouse.click(...place);
  await inspector(page).getByRole("button", { name: "Drop it" }).click();
  const { record } = await logged(page, "DropMessage");
  assert.ok(record > 0);
  await inspector(page).getByText("Dropped").waitFor();
});

visit("a story is played scene by scene, and each scene says what to look at", async (page) => {
  await etcd(page);
  await hand(page).getByText("Stories").click();
  await hand(page).getByRole("button", { name: "Quorum is lost and regained" }).click();
  await caption(page).getByText("nobody can commit").waitFor();
  await caption(page).getByText("All are back").waitFor();
  const names = (await log(page)).map((command) => Object.keys(command)[0]);
  assert.deepEqual(names.slice(-4), ["StopProcess", "StopProcess", "StartProcess", "StartProcess"]);
});

visit("down the tree of keys to one of them, to its entry, and back", async (page) => {
  await etcd(page);
  await page.getByRole("button", { name: "Pause", exact: true }).first().click();
  await hand(page).getByRole("button", { name: "Keys", exact: true }).click();
  const open = (name) => inspector(page).getByRole("button", { name, exact: true }).click();
  await open("/registry/");
  await open("leases/");
  await open("kube-node-lease/");
  await open("worker-1");
  // All but the newest revision have been superseded.
  const revisions = inspector(page).locator("section", { hasText: "Revisions" }).getByRole("listitem");
  await revisions.first().waitFor();
  const going = await revisions.evaluateAll((rows) => rows.map((row) => row.classList.contains("going")));
  assert.ok(going.length > 1 && going.every((isGoing, place) => isGoing === place < going.length - 1), `${going}`);
  await inspector(page).getByRole("button", { name: /^entry \d+$/ }).last().click();
  await inspector(page).getByText("Raft entry").waitFor();
  await open("/registry/leases/kube-node-lease/worker-1");
  await open("/registry/leases/");
  await open("all keys");
  await open("/registry/");
});

visit("a cable in the API flow has a card, and a cut is seen there", async (page) => {
  await exec(page, "kubectl get nodes");
  await page.getByRole("button", { name: "Pause", exact: true }).first().click();
  const { x, y, width, height } = await page.locator(".stage canvas").boundingBox();
  const tip = page.locator(".stage-tip");
  const find = async () => {
    // Between the control plane and the nodes run the nodes' cables.
    for (let down = 0.5; down < 0.68; down += 0.02) {
      for (let across = 0.03; across < 0.97; across += 0.01) {
        const place = [x + width * across, y + height * down];
        await page.mouse.move(...place);
        if ((await tip.count()) > 0 && /^the cable between .*worker/.test(await tip.innerText())) return place;
      }
    }
  };
  const place = await find();
  assert.ok(place, "a cable of a worker was met");
  await page.mouse.click(...place);
  await inspector(page).getByRole("button", { name: "Cut it" }).click();
  const { a, b } = await logged(page, "CutLink");
  assert.ok([a, b].some((name) => name.startsWith("worker-")), `${a} ${b}`);
  await inspector(page).getByRole("button", { name: "Mend it" }).waitFor();
});
