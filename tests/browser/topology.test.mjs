// What a new cluster is made of, and what is carried from one to the next.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { exec, visitor } from "./visit.mjs";

const visit = visitor();

/** Orders a new cluster by the form behind the session's menu. */
const order = async (page, choices) => {
  await page.getByRole("button", { name: "Session", exact: true }).click();
  await page.getByRole("menuitem", { name: /^New cluster/ }).click();
  const form = page.getByRole("form", { name: "New cluster" });
  for (const [label, number] of Object.entries(choices)) await form.getByLabel(label).selectOption(number);
  await form.getByRole("button", { name: "Start it" }).click();
  await page.getByText("This is a new cluster.").waitFor();
  await page.waitForTimeout(500);
};
const until = async (page, line, wanted) => {
  for (let times = 0; times < 60; times += 1) {
    const { stdout } = await exec(page, line);
    if (wanted.test(stdout)) return stdout;
    await page.waitForTimeout(250);
  }
  assert.fail(`${line} never printed ${wanted}`);
};

visit("three control-plane nodes, of which one API server is chosen by its context", async (page) => {
  await exec(page, "kubectl get nodes");
  await order(page, { "Control-plane nodes": "3", Workers: "2" });
  await until(page, "kubectl --context cp-3 get nodes --no-headers", /(.* Ready .*\n){5}/);
  const lenses = page.getByRole("navigation", { name: "Lenses" });
  await lenses.getByRole("button", { name: "API flow" }).click();
  const { stderr } = await exec(page, "kubectl --context cp-4 get nodes");
  assert.match(stderr, /context was not found for specified context: cp-4/);
  await page.getByRole("button", { name: "Undo" }).click();
  const names = await until(page, "kubectl get nodes -o name", /worker-3/);
  assert.ok(!names.includes("cp-2"));
});

visit("a snapshot is taken home and brought along to another cluster", async (page) => {
  const papers = "--cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key";
  await exec(page, "kubectl create configmap precious");
  assert.equal((await exec(page, `etcdctl snapshot save backup.db ${papers}`)).code, 0);
  const files = page.getByRole("button", { name: "Files of the terminal" });
  await files.click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: /^backup\.db/ }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "backup.db");
  const path = await download.path();
  assert.match(readFileSync(path, "utf8"), /precious/);
  await order(page, { "Members of etcd": "1" });
  await until(page, "kubectl get nodes", /Ready/);
  const input = page.getByLabel("File for the terminal");
  await input.setInputFiles({ name: "backup.db", mimeType: "text/plain", buffer: readFileSync(path) });
  await page.getByText("backup.db lies in the terminal's home directory.").waitFor();
  for (const line of [
    "sudo mv /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/manifests/kube-apiserver.yaml /tmp/; sleep 40",
    "sudo rm -r /var/lib/etcd/member",
    "etcdutl snapshot restore backup.db --data-dir /tmp/fresh --name cp-1 --initial-cluster cp-1=https://192.168.56.10:2380 --initial-advertise-peer-urls https://192.168.56.10:2380",
    "sudo cp -r /tmp/fresh/member /var/lib/etcd/member",
    "sudo mv /tmp/etcd.yaml /tmp/kube-apiserver.yaml /etc/kubernetes/manifests/; sleep 60",
  ]) {
    const { code, stderr } = await exec(page, line);
    assert.equal(code, 0, `${line}: ${stderr}`);
  }
  await until(page, "kubectl get configmaps -o name", /precious/);
  await input.setInputFiles({ name: "photo.png", mimeType: "image/png", buffer: Buffer.from([0x89, 0xff, 0xfe]) });
  await page.getByText("photo.png is not text in UTF-8").waitFor();
});
