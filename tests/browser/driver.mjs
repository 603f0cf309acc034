// A static host for the built page, and Chromium to open it with. The page lies below a path, as it may anywhere.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

export const DIST = process.env.DIST ?? new URL("../../dist/", import.meta.url).pathname;
const PATH = "/some/where/";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** Serves dist/ on a free port; gives the page's address and a function that ends it. */
export async function serve() {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://host").pathname;
    if (!path.startsWith(PATH)) return response.writeHead(404).end();
    const name = normalize(path.slice(PATH.length)) || "index.html";
    try {
      const body = await readFile(join(DIST, name === "." ? "index.html" : name));
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? TYPES[".html"] }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}${PATH}`, close: () => server.close() };
}

/** Starts the browser named in CHROME, else a usual one. */
export function launch() {
  const usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const executablePath = process.env.CHROME ?? usual.find((path) => existsSync(path));
  if (!executablePath) throw new Error("no Chromium found: name it in the environment variable CHROME");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** In the page: window.firstPicture becomes the instant, in milliseconds, at which machines of the cluster are first drawn. */
function noteFirstPicture() {
  const look = () => {
    const said = document.querySelector(".stage canvas")?.getAttribute("aria-label") ?? "";
    if (/^Cluster at (?!0\.000)/.test(said)) window.firstPicture = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

/** Opens the page in a browser of its own; what it complains about is gathered in `complaints`. */
export async function open(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.url()}: ${response.status()}`));
  await page.addInitScript(noteFirstPicture);
  await page.goto(address);
  await running(page);
  return { context, page, complaints };
}

/** Waits until the cluster runs and the editor is there. */
export async function running(page) {
  await page.locator(".button-primary:enabled", { hasText: "Apply" }).waitFor({ state: "attached" });
  await page.locator(".cm-content").waitFor({ state: "attached" });
}
