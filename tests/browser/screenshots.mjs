// Pictures of the page's main states, in each size and both themes, for the README and for whoever changes a style.

import { mkdirSync } from "node:fs";
import { launch, open, serve } from "./driver.mjs";

const SIZES = [
  [1920, 1080],
  [1280, 720],
  [390, 844],
];

const phone = (page) => page.viewportSize().width < 760;
const tab = async (page, name) => phone(page) && page.locator(".phone-tab", { hasText: name }).click();

/** Each state by name: what to do on a page that has just been opened. */
const STATES = {
  start: async () => {},
  applied: async (page) => {
    await tab(page, "Editor");
    await page.getByRole("button", { name: /^Apply/ }).click();
    await tab(page, "Cluster");
    await page.waitForTimeout(6000);
  },
  editor: async (page) => {
    await tab(page, "Editor");
    await page.getByRole("button", { name: "Examples" }).click();
  },
  terminal: async (page) => {
    await tab(page, "Terminal");
    const command = page.getByLabel("Command");
    for (const line of ["kubectl get nodes", "kubectl get pods -A", "kubectl get pod nothing"]) {
      await command.fill(line);
      await command.press("Enter");
      await page.waitForTimeout(1500);
    }
  },
  presenting: async (page) => {
    await page.getByRole("button", { name: "Present" }).click();
    await page.waitForTimeout(500);
  },
};

const lens = async (page, name) => {
  await STATES.applied(page);
  await page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name }).click();
  await page.waitForTimeout(2500);
};
STATES.etcd = (page) => lens(page, "etcd");
STATES.keys = async (page) => {
  await lens(page, "etcd");
  await page.getByRole("group", { name: "Set-ups" }).getByRole("button", { name: "Keys", exact: true }).click();
  await tab(page, "Inspector");
  for (const name of ["/registry/", "leases/", "kube-node-lease/", "worker-1"]) {
    await page.getByRole("region", { name: "Inspector" }).getByRole("button", { name, exact: true }).click();
    await page.waitForTimeout(400);
  }
};
STATES.stories = async (page) => {
  await lens(page, "etcd");
  await page.getByRole("group", { name: "Set-ups" }).getByText("Stories").click();
};
STATES.story = async (page) => {
  await STATES.stories(page);
  await page.getByRole("group", { name: "Set-ups" }).getByRole("button", { name: "The leader is cut off" }).click();
  await page.waitForTimeout(9000);
};
STATES.order = async (page) => {
  await page.getByRole("button", { name: "Session", exact: true }).click();
  await page.getByRole("menuitem", { name: /^New cluster/ }).click();
  await page.getByLabel("Control-plane nodes").selectOption("3");
};
STATES.planes = async (page) => {
  await STATES.order(page);
  await page.getByRole("button", { name: "Start it" }).click();
  await page.waitForTimeout(9000);
};
/** The third API server's watch cache stands still, behind a member that was cut off. */
STATES.stale = async (page) => {
  await STATES.planes(page);
  const lenses = page.getByRole("navigation", { name: "Lenses" });
  const hand = page.getByRole("group", { name: "Set-ups" });
  await lenses.getByRole("button", { name: "etcd" }).click();
  await hand.getByText("More").click();
  await hand.getByLabel("m3").check();
  await hand.getByRole("button", { name: "Cut", exact: true }).click();
  await lenses.getByRole("button", { name: "API flow" }).click();
  await page.evaluate(() => window.clusterarium.exec("sleep 8; kubectl create configmap a; kubectl create configmap b"));
  await page.waitForTimeout(500);
};
STATES.files = async (page) => {
  await page.evaluate(() => window.clusterarium.exec("kubectl get pods -A -o yaml > pods.yaml; echo a note > note.txt"));
  await tab(page, "Terminal");
  await page.getByRole("button", { name: "Files of the terminal" }).click();
  await page.waitForTimeout(500);
};
/** The etcd lens at one level of detail, while another leader is elected than the one that is cut off. */
const election = (level) => async (page) => {
  await page.evaluate(() => window.clusterarium.exec("kubectl get nodes"));
  await page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name: "etcd", exact: true }).click();
  await page.getByLabel("Level of detail").selectOption(level);
  const label = () => document.querySelector(".stage canvas").ariaLabel.split("; ")[1];
  const before = await page.evaluate(label);
  await page.locator(".stage canvas").focus();
  await page.keyboard.press("2");
  const hasChanged = (before) => {
    const now = document.querySelector(".stage canvas").ariaLabel.split("; ")[1];
    return /is led by/.test(now) && now !== before;
  };
  await page.waitForFunction(hasChanged, before, { timeout: 60000 });
  await page.waitForTimeout(level === "Wire" ? 100 : 3000);
  const pause = page.getByRole("button", { name: "Pause", exact: true }).first();
  if (await pause.isVisible()) await pause.click();
  // Back to where messages are under way.
  for (let times = 0; level === "Wire" && times < 4; times += 1) {
    await page.locator("body").press("ArrowLeft");
    await page.waitForTimeout(150);
  }
};
for (const level of ["Beginner", "Operator", "Wire"]) {
  STATES[level.toLowerCase()] = election(level);
  STATES[`presenting-${level.toLowerCase()}`] = async (page) => {
    await election(level)(page);
    await STATES.presenting(page);
  };
}
STATES.pod = (page) => lens(page, "Pod");
STATES.network = (page) => lens(page, "Network");

const run = (page, line) => page.evaluate((line) => window.clusterarium.exec(line), line);
/** From a pod to a service, in the network lens. */
const packet = async (page) => {
  await run(page, "kubectl create deployment web --image=nginx --replicas=3; kubectl expose deployment web --port=80");
  await run(page, "kubectl run client --image=busybox -- sleep 3600; sleep 30");
  await page.getByRole("navigation", { name: "Lenses" }).getByRole("button", { name: "Network" }).click();
  const form = page.getByRole("form", { name: "Packet" });
  await form.getByLabel("from").selectOption("pod/default/client");
  await form.getByLabel("to").selectOption("service/default/web");
  return form;
};
/** A load on three pods, while they are replaced. */
STATES.load = async (page) => {
  const form = await packet(page);
  await form.getByLabel("load", { exact: true }).selectOption({ label: "50/s" });
  await form.getByRole("button", { name: "Send load" }).click();
  await run(page, "sleep 10");
  await run(page, "kubectl set image deployment web nginx=nginx:1.28; sleep 6");
  await page.waitForTimeout(500);
};
STATES.calico = async (page) => {
  await STATES.order(page);
  await page.getByLabel("Pod network").selectOption({ index: 2 });
  await page.getByRole("button", { name: "Start it" }).click();
  await page.waitForTimeout(4000);
  await packet(page);
  await page.waitForTimeout(1500);
};
/** An object that kubectl lends to the editor, after a word with a node. */
STATES.edit = async (page) => {
  await run(page, "kubectl create deployment web --image=nginx");
  await tab(page, "Terminal");
  const command = page.getByLabel("Command", { exact: true });
  for (const line of ["ssh worker-1 crictl ps", "kubectl edit deployment web"]) {
    await command.fill(line);
    await command.press("Enter");
    await page.waitForTimeout(2500);
  }
  await tab(page, "Editor");
};

/** The request that made a pod, found by its key: what admission added, where it was stored, who was told. */
STATES.request = async (page) => {
  await run(page, "kubectl run web --image=nginx");
  await lens(page, "etcd");
  await page.getByRole("group", { name: "Set-ups" }).getByRole("button", { name: "Keys", exact: true }).click();
  await tab(page, "Inspector");
  const inspector = page.getByRole("region", { name: "Inspector" });
  for (const name of ["/registry/", "pods/", "default/", "web", /^entry \d+$/, /^POST /]) {
    await inspector.getByRole("button", { name }).first().click();
  }
  await inspector.locator("ins").first().waitFor();
};

const directory = process.argv[2] ?? "screenshots";
const only = process.argv.slice(3);
mkdirSync(directory, { recursive: true });
const { address, close } = await serve();
const browser = await launch();
for (const [width, height] of SIZES) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, act] of Object.entries(STATES)) {
      const file = `${directory}/${name}-${width}x${height}-${colorScheme}.png`;
      if (only.length > 0 && !only.some((part) => file.includes(part))) continue;
      const { context, page, complaints } = await open(browser, address, { viewport: { width, height }, colorScheme });
      await act(page);
      await page.evaluate(() => document.fonts.ready);
      await page.waitForTimeout(300);
      await page.screenshot({ path: file });
      console.log(file, ...complaints);
      await context.close();
    }
  }
}
await browser.close();
close();
