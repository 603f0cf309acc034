// The built page, as a visitor finds it: each case opens it afresh in a browser context of its own.

import assert from "node:assert/strict";
import { running } from "./driver.mjs";
import { exec, visitor } from "./visit.mjs";

const visit = visitor();

const text = (page) => page.evaluate(() => document.querySelector(".cm-content").cmView?.view?.state.doc.toString() ?? document.querySelector(".cm-content").innerText);
const notice = (page, words) => page.locator(".notice", { hasText: words }).waitFor();
const stored = (page, name) => page.evaluate((name) => localStorage.getItem(`clusterarium.${name}`), name);

/** Pastes as a user would, without the system's clipboard. */
const paste = (page, length, unit) =>
  page.evaluate(
    ([length, unit]) => {
      const data = new DataTransfer();
      data.setData("text/plain", unit.repeat(Math.ceil(length / unit.length)));
      const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
      document.querySelector(".cm-content").dispatchEvent(event);
    },
    [length, unit],
  );

/** Drops a file with these bytes on the page. */
const drop = (page, name, bytes) =>
  page.evaluate(
    ([name, bytes]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
      for (const type of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    },
    [name, [...bytes]],
  );

visit("the page starts, from a sub-path, with every panel", async (page) => {
  for (const name of ["Editor", "Cluster", "Inspector", "Timeline", "Terminal"])
    await page.getByLabel(name, { exact: true }).first().waitFor();
});

visit("commands are answered at the door, in order", async (page) => {
  const results = await page.evaluate(() =>
    Promise.all(["echo one", "no-such-command", "echo two"].map((line) => window.clusterarium.exec(line))),
  );
  assert.equal(results[0].stdout, "one\n");
  assert.equal(results[0].code, 0);
  assert.equal(results[1].code, 127);
  assert.match(results[1].stderr, /no-such-command/);
  assert.equal(results[2].stdout, "two\n");
});

visit("the terminal runs a line, remembers it, and is cleared", async (page) => {
  const command = page.getByLabel("Command");
  await command.fill("echo hello");
  await command.press("Enter");
  await page.locator(".terminal-output .stdout", { hasText: "hello" }).waitFor();
  await command.press("ArrowUp");
  assert.equal(await command.inputValue(), "echo hello");
  await command.press("ArrowDown");
  assert.equal(await command.inputValue(), "");
  await command.fill("half a li");
  await command.press("Control+c");
  await page.locator(".terminal-output", { hasText: "half a li^C" }).waitFor();
  assert.equal(await command.inputValue(), "");
  await command.press("Control+l");
  assert.equal(await page.locator(".terminal-output > *").count(), 0);
});

visit("Apply and its keys enter kubectl apply for the file on the desk", async (page) => {
  await page.getByRole("button", { name: /^Apply/ }).click();
  await page.locator(".from-editor", { hasText: "kubectl apply -f shop.yaml" }).waitFor();
  // One after the other: while the first is under way the second is not taken.
  await page.locator(".button-primary:enabled", { hasText: "Apply" }).waitFor();
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+Enter");
  await page.locator(".from-editor").nth(1).waitFor();
});

visit("Apply brings pods up, and a reload finds the very same ones", async (page) => {
  await page.getByRole("button", { name: /^Apply/ }).click();
  await page.locator(".terminal-output", { hasText: "deployment.apps/shop created" }).waitFor();
  await exec(page, "kubectl rollout status deployment/shop --timeout=300s || sleep 120");
  const pods = (await exec(page, "kubectl get pods --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,I:.status.podIP")).stdout;
  assert.equal(pods.match(/shop-\S+\s+Running\s+10\.244\./g)?.length, 3, pods);
  await page.reload();
  await running(page);
  // The paper shows again what was entered and answered.
  await page.locator(".terminal-output", { hasText: "deployment.apps/shop created" }).waitFor();
  assert.equal(
    (await exec(page, "kubectl get pods --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,I:.status.podIP")).stdout,
    pods,
  );
});

visit("problems are underlined at their place, in the API server's words", async (page) => {
  await page.getByLabel("New file").click();
  await page.locator(".cm-content").click();
  await page.evaluate(() => document.querySelector(".cm-content").focus());
  await paste(page, 1, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: one\nspec:\n  containers:\n  - name: a\n    imagee: nginx\n");
  await page.locator(".cm-lintRange-error", { hasText: "imagee" }).waitFor();
  await page.locator(".problems", { hasText: 'unknown field "spec.containers[0].imagee"' }).waitFor();
});

for (const [name, unit, length] of [
  ["a YAML bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n", 1],
  ["deeply nested brackets", "[", 20_000],
  ["deeply nested maps in brackets", "{a: ", 20_000],
  ["deeply nested lists", "- ", 20_000],
  ["a syntax error", "a: b: c\n", 1],
  ["a tab for indentation", "a:\n\tb: c\n", 1],
]) {
  visit(`${name} is told about, and hangs nothing`, async (page) => {
    await page.getByLabel("New file").click();
    await page.locator(".tab.active", { hasText: "untitled" }).waitFor();
    await paste(page, length, unit);
    await page.locator(".problems.some").waitFor();
    await page.getByRole("button", { name: /^Apply/ }).click();
    await page.locator(".terminal-output .stderr").first().waitFor();
    // The text is kept as it was pasted.
    await page.waitForFunction(() => JSON.parse(localStorage.getItem("clusterarium.files"))?.files[1]?.text);
    const { files } = JSON.parse(await stored(page, "files"));
    assert.equal(files[1].text, unit.repeat(Math.ceil(length / unit.length)));
    assert.equal((await exec(page, "echo alive")).stdout, "alive\n");
  });
}

visit("time stands still when paused, and runs on", async (page) => {
  const time = () => page.getByLabel("Simulated time").innerText();
  await page.getByLabel("Pause").click();
  await page.getByLabel("Play", { exact: true }).waitFor();
  const before = await time();
  await page.waitForTimeout(500);
  assert.equal(await time(), before);
  await page.getByLabel("Play", { exact: true }).click();
  await page.waitForFunction((before) => document.querySelector(".transport-time").innerText !== before, before);
});

visit("files: new, renamed, closed, brought back", async (page) => {
  const tabs = () => page.locator(".tab-name").allInnerTexts();
  await page.getByLabel("New file").click();
  assert.deepEqual(await tabs(), ["shop.yaml", "untitled.yaml"]);
  await page.locator(".cm-content").click();
  await page.keyboard.type("kind: Pod");
  await page.locator(".tab-name", { hasText: "untitled" }).dblclick();
  await page.getByLabel("File name").fill("../shop.yaml");
  await page.keyboard.press("Enter");
  assert.deepEqual(await tabs(), ["shop.yaml", "-shop.yaml"]);
  await page.getByLabel("Close -shop.yaml").click();
  assert.deepEqual(await tabs(), ["shop.yaml"]);
  await page.getByRole("button", { name: "Undo" }).click();
  assert.deepEqual(await tabs(), ["shop.yaml", "-shop.yaml"]);
  await page.waitForFunction(() => document.querySelector(".cm-content").innerText === "kind: Pod");
});

visit("the menu of examples lies within the page, however narrow the editor is", async (page) => {
  for (const width of [1920, 1280, 800]) {
    await page.setViewportSize({ width, height: 720 });
    await page.getByRole("button", { name: "Examples" }).click();
    const menu = await page.getByRole("menu").boundingBox();
    assert.ok(menu.x >= 0 && menu.x + menu.width <= width, `${width}: ${JSON.stringify(menu)}`);
    await page.keyboard.press("Escape");
  }
});

visit("the tab that is read is in sight, however many and long they are", async (page) => {
  for (const name of [/^Rolling update, before/, /^Cloud controller/, /^Crash loop/]) {
    await page.getByRole("button", { name: "Examples" }).click();
    await page.getByRole("menuitem", { name }).click();
    await page.waitForFunction(() => {
      const [strip, tab] = [".tabs", ".tab.active"].map((one) => document.querySelector(one).getBoundingClientRect());
      return tab.left >= strip.left - 1 && tab.right <= strip.right + 1;
    });
  }
});

visit("a reload restores files, session and theme", async (page) => {
  await page.getByLabel("Examples").or(page.getByRole("button", { name: "Examples" })).click();
  await page.getByRole("menuitem", { name: /Crash loop/ }).click();
  await page.getByLabel(/colours$/).click();
  const theme = await page.locator("html").getAttribute("data-theme");
  await exec(page, "echo kept");
  await page.waitForFunction(() => localStorage.getItem("clusterarium.session")?.includes("echo kept"));
  const before = JSON.parse(await stored(page, "session"));
  await page.reload();
  await running(page);
  assert.deepEqual(await page.locator(".tab-name").allInnerTexts(), ["shop.yaml", "crash-loop.yaml"]);
  assert.equal(await page.locator("html").getAttribute("data-theme"), theme);
  const now = JSON.parse(await stored(page, "session"));
  assert.equal(now.seed, before.seed);
  assert.deepEqual(now.log, before.log);
});

for (const [name, damaged] of [
  ["damaged", '{"version":1,"seed'],
  ["of another version", '{"version":99,"run":[]}'],
  ["not a session", "[1,2]"],
]) {
  visit(`a stored session that is ${name} is set aside, with a message`, async (page, address) => {
    await page.evaluate((text) => localStorage.setItem("clusterarium.session", text), damaged);
    // The page that leaves must not put its own session back.
    await page.goto("about:blank");
    await page.goto(address);
    await running(page);
    await notice(page, "set aside");
    assert.equal(await stored(page, "session.aside.1"), damaged);
    assert.equal((await exec(page, "echo fine")).stdout, "fine\n");
  });
}

visit("a new cluster can be undone", async (page) => {
  await exec(page, "echo before");
  await page.waitForFunction(() => localStorage.getItem("clusterarium.session")?.includes("echo before"));
  await page.getByLabel("Session", { exact: true }).click();
  await page.getByRole("menuitem", { name: /^New cluster/ }).click();
  await page.getByRole("button", { name: "Start it" }).click();
  await page.waitForFunction(() => !localStorage.getItem("clusterarium.session")?.includes("echo before"));
  await page.getByRole("button", { name: "Undo" }).click();
  await page.waitForFunction(() => localStorage.getItem("clusterarium.session")?.includes("echo before"));
});

visit(
  "a panic freezes the session, offers it, and is survived",
  async (page) => {
    await exec(page, "echo before");
    await page.evaluate(() => window.clusterarium.panic());
    await page.getByRole("alertdialog").getByText("asked to fail").waitFor();
    const waiting = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download the session" }).click();
    const chunks = [];
    for await (const chunk of await (await waiting).createReadStream()) chunks.push(chunk);
    const session = JSON.parse(Buffer.concat(chunks).toString());
    assert.ok(JSON.stringify(session.log).includes("echo before"));
    await page.getByRole("button", { name: "Run it again" }).click();
    await running(page);
    assert.equal((await exec(page, "echo after")).stdout, "after\n");
  },
  { complains: true },
);

visit("a 10 MB paste is refused with a message, and nothing is lost", async (page) => {
  const before = await text(page);
  await paste(page, 10_000_000, "kind: Pod\n");
  await notice(page, "million characters");
  assert.equal(await text(page), before);
  assert.equal((await exec(page, "echo alive")).stdout, "alive\n");
});

visit("a manifest of a thousand lines can be pasted", async (page) => {
  await page.getByLabel("New file").click();
  const unit = "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n";
  await paste(page, unit.length * 250, unit);
  await page.waitForFunction(() => localStorage.getItem("clusterarium.files")?.includes("name: one"));
  const files = JSON.parse(await stored(page, "files")).files;
  assert.equal(files[1].text.split("\n").length, 1251);
});

visit("dropped files open; one that is not UTF-8 is refused with a message", async (page) => {
  await drop(page, "pod.yaml", Buffer.from("kind: Pod # ü\n"));
  await page.locator(".tab.active", { hasText: "pod.yaml" }).waitFor();
  await drop(page, "latin1.yaml", [0x6b, 0x3a, 0x20, 0xfc]);
  await notice(page, "latin1.yaml is not UTF-8");
  assert.deepEqual(await page.locator(".tab-name").allInnerTexts(), ["shop.yaml", "pod.yaml"]);
});

visit("panels fold to a rail and come back; presentation leaves stage and caption", async (page) => {
  for (const name of ["Editor", "Inspector", "Timeline", "Terminal"]) {
    const panel = page.locator(`section[aria-label="${name}"]`);
    await page.getByLabel(`Fold ${name} away`).click();
    assert.equal(await panel.isVisible(), false, name);
    await page.getByRole("button", { name, exact: true }).and(page.locator(".rail")).click();
    assert.equal(await panel.isVisible(), true, name);
  }
  await page.getByRole("button", { name: "Present" }).click();
  assert.equal(await page.locator("section[aria-label=Editor]").isVisible(), false);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("section[aria-label=Editor]").isVisible(), true);
});

visit(
  "on a phone each panel has the whole width",
  async (page) => {
    for (const [tab, label] of [["Editor"], ["Inspector"], ["Timeline"], ["Terminal"], ["Cluster"]].map(([a]) => [a, a])) {
      await page.locator(".phone-tab", { hasText: tab }).click();
      const box = await page.getByLabel(label, { exact: true }).first().boundingBox();
      assert.equal(box?.width, 390, label);
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.equal(overflow, 0);
  },
  { options: { viewport: { width: 390, height: 844 } } },
);
