// The stage's lenses, the story beside them, and the terminal's Tab: what is asked for is seen, and can be read.

import assert from "node:assert/strict";
import { exec, visitor } from "./visit.mjs";

const visit = visitor();
const lens = (page, name) =>
  page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name, exact: true }).click();
const inspector = (page) => page.getByRole("region", { name: "Inspector" });

/** How much of the canvas is not its ground: a lens that draws nothing comes out as 0. */
const ink = (page) =>
  page.evaluate(() => {
    const canvas = document.querySelector(".stage canvas");
    // Read from a copy: the canvas itself is for drawing.
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 4; at < data.length; at += 4)
      if (data[at] !== data[0] || data[at + 1] !== data[1] || data[at + 2] !== data[2]) count += 1;
    return count / (data.length / 4);
  });

visit("every lens draws, and turning back shows the same cluster", async (page) => {
  await exec(page, "kubectl create deployment web --image=nginx; kubectl expose deployment web --port=80; sleep 20");
  for (const name of ["API flow", "etcd", "Pod", "Network", "API flow"]) {
    await lens(page, name);
    await page.waitForTimeout(600);
    const share = await ink(page);
    assert.ok(share > 0.05, `${name} draws on ${share} of the stage`);
  }
});

visit("the pod lens chooses a pod, and its card can be read", async (page) => {
  await exec(page, "kubectl run web --image=nginx; sleep 20");
  await lens(page, "Pod");
  await inspector(page).getByRole("heading", { name: "web", exact: true }).waitFor();
});

visit("a packet to a service is followed to one of its pods, rule by rule", async (page) => {
  await exec(page, "kubectl create deployment web --image=nginx; kubectl expose deployment web --port=80");
  await exec(page, "kubectl run client --image=busybox -- sleep 3600; sleep 30");
  await lens(page, "Network");
  const form = page.getByRole("form", { name: "Packet" });
  await form.getByLabel("from").selectOption("pod/default/client");
  await form.getByLabel("to").selectOption("service/default/web");
  const card = inspector(page);
  await card.getByText("The way there").waitFor();
  const rules = (await card.locator(".packet-hops pre").allInnerTexts()).join("\n");
  assert.match(rules, /KUBE-SVC-/);
  assert.match(rules, /DNAT/);
});

visit("a load on a service is counted by endpoint, and what fails is told", async (page) => {
  await exec(page, "kubectl create deployment web --image=nginx --replicas=2; kubectl expose deployment web --port=80");
  await exec(page, "kubectl run client --image=busybox -- sleep 3600; sleep 30");
  await lens(page, "Network");
  const form = page.getByRole("form", { name: "Packet" });
  await form.getByLabel("from").selectOption("pod/default/client");
  await form.getByLabel("to").selectOption("service/default/web");
  await form.getByLabel("load", { exact: true }).selectOption({ label: "50/s" });
  await form.getByRole("button", { name: "Send load" }).click();
  await exec(page, "sleep 10");
  const card = inspector(page);
  await card.getByText(/^\d{3,} answered, 0 failed$/).waitFor();
  assert.equal(await card.getByText(/answered, 0 failed; in the last ten seconds/).count(), 2);
  const share = await ink(page);
  assert.ok(share > 0.05, `the load is drawn on ${share} of the stage`);
  await exec(page, "kubectl scale deployment web --replicas=0; sleep 10");
  await card.getByText(/answered, \d+ failed: .*Connection refused/).waitFor();
  const said = await page.locator(".stage canvas").getAttribute("aria-label");
  assert.match(said, /load of pod\/default\/client on web\.default:80: \d+ answered, \d+ failed/);
  await form.getByRole("button", { name: "Stop load" }).click();
  await card.getByText("stopped").waitFor();
  await form.getByRole("button", { name: "Send another" }).click();
  await card.getByText("The way there").waitFor();
});

visit("what happens is told, and each sentence leads to its instant", async (page) => {
  await exec(page, "kubectl create deployment web --image=nginx; sleep 20");
  const story = inspector(page).getByRole("list", { name: "What happened, the newest first" });
  for (const words of [/replicaset controller creates Pod web-/i, /scheduler binds pod web-/i, /Container nginx of web-/])
    await story.getByText(words).first().waitFor();
  await story.getByText(/scheduler binds pod web-/i).first().click();
  await page.getByRole("button", { name: "Play", exact: true }).first().waitFor();
  await inspector(page).getByRole("heading", { name: "Why?" }).waitFor();
  await inspector(page).getByRole("button", { name: "Close" }).click();
  await story.waitFor();
});

visit("Tab completes what is certain and offers the rest", async (page) => {
  const command = page.getByLabel("Command", { exact: true });
  const cases = [
    ["kubectl desc", "kubectl describe "],
    ["kubectl get nodes worker-", "kubectl get nodes worker-"],
    ["kubectl -n kube-system get deployments core", "kubectl -n kube-system get deployments coredns "],
    ["kubectl get pods nothing", "kubectl get pods nothing"],
  ];
  for (const [typed, completed] of cases) {
    await command.fill(typed);
    await command.press("Tab");
    await page.waitForFunction(
      ([completed]) => document.querySelector(".terminal-entry input").value === completed,
      [completed],
    );
  }
  await command.fill("kubectl get nodes worker-");
  await command.press("Tab");
  await page.locator(".terminal-offers").getByText("worker-2").click();
  assert.equal(await command.inputValue(), "kubectl get nodes worker-2 ");
});

visit("a line entered in the past stands once on the paper, and what came later is gone", async (page) => {
  const command = page.getByLabel("Command", { exact: true });
  await command.fill("echo first");
  await command.press("Enter");
  await page.locator(".terminal-output .stdout", { hasText: "first" }).waitFor();
  await page.waitForTimeout(1500);
  await command.fill("echo second");
  await command.press("Enter");
  await page.locator(".terminal-output .stdout", { hasText: "second" }).waitFor();
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.keyboard.press("Escape");
  await page.locator(".ruler").focus();
  for (let times = 0; times < 40; times += 1) {
    await page.keyboard.press("Shift+ArrowLeft");
    await page.waitForTimeout(100);
    if ((await page.locator(".terminal-output .stdout", { hasText: "second" }).count()) === 0) break;
  }
  await command.fill("echo third");
  await command.press("Enter");
  await page.locator(".terminal-output .stdout", { hasText: "third" }).waitFor();
  await page.waitForTimeout(1000);
  const lines = await page.locator(".terminal-output .entered").allInnerTexts();
  assert.equal(lines.filter((line) => line.includes("echo third")).length, 1, lines.join("\n"));
  assert.equal(lines.filter((line) => line.includes("echo second")).length, 0, lines.join("\n"));
});
