// How fast the built page is on this machine: sizes are cargo xtask build's business, times are printed here.
// Not a test: a busy machine would fail it. Medians of several runs; compare with the budgets in the README.
// DIST names another build than dist/: to compare two, measure them in turn.

import { launch, open, serve } from "./driver.mjs";

const ROUNDS = Number(process.argv[2] ?? 3);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const results = {};
const add = (name, value) => (results[name] ??= []).push(value);

const { address, close } = await serve();
const browser = await launch();
for (let round = 0; round < ROUNDS; round += 1) {
  const start = performance.now();
  const { context, page } = await open(browser, address, { viewport: { width: 1920, height: 1080 } });
  add("load to a running cluster, ms", performance.now() - start);
  add(
    "first contentful paint, ms",
    await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN),
  );

  add("first picture of the living cluster, ms", await page.evaluate(() => window.firstPicture ?? NaN));

  // Script time a frame while a Deployment rolls out before two hundred watchers, so that each change puts two hundred
  // messages in flight: what the main thread does between two frames, by the browser's own account of its tasks.
  const watchers = "for i in $(seq 200); do kubectl get pods --watch > /dev/null & done; sleep 2";
  await page.evaluate((line) => window.clusterarium.exec(line), watchers);
  await page.locator(".button-primary", { hasText: "Apply" }).click();
  const client = await context.newCDPSession(page);
  await client.send("Performance.enable");
  const metrics = async () =>
    Object.fromEntries((await client.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));
  const before = await metrics();
  const { frames, longest, most } = await page.evaluate(
    () =>
      new Promise((resolve) => {
        let [frames, longest, most, last] = [0, 0, 0, performance.now()];
        const end = last + 4000;
        const frame = (now) => {
          frames += 1;
          longest = Math.max(longest, now - last);
          most = Math.max(most, parseInt(document.querySelector(".transport-flight")?.textContent) || 0);
          last = now;
          if (now < end) requestAnimationFrame(frame);
          else resolve({ frames, longest, most });
        };
        requestAnimationFrame(frame);
      }),
  );
  const after = await metrics();
  add("script a frame during a rollout, ms", ((after.ScriptDuration - before.ScriptDuration) * 1000) / frames);
  add("messages in flight, most in a frame", most);
  add("frames a second during a rollout", frames / 4);
  add("longest frame during a rollout, ms", longest);
  await context.close();

  // A page of its own, a few seconds after its cluster lives: no watchers beside, and the engine run in.
  const fresh = await open(browser, address, { viewport: { width: 1280, height: 720 } });
  await new Promise((resolve) => setTimeout(resolve, 8000));
  const bench = await fresh.page.evaluate(() => window.clusterarium.benchmark());
  add("three workers until Ready, ms", bench.boot_ms);
  add("1,000 pods on 10 nodes until Ready, ms", bench.pods_ms);
  add("events for those pods", bench.events);
  add("seek, median of 20, ms", bench.seek_ms);
  add("seek, longest of 20, ms", bench.longest_seek_ms);
  add("memory of the worker with those pods, MB", bench.memory_bytes / 1e6);
  add("requests a second, through the whole pipeline", bench.requests_per_s);
  add("watch events a second, to 1,000 watchers", bench.watch_events_per_s);
  if (!bench.is_complete) console.log("the pods did not all become Ready");
  await fresh.context.close();
}
for (const [name, values] of Object.entries(results)) console.log(name.padEnd(44), median(values).toFixed(1).padStart(10));
await browser.close();
close();
