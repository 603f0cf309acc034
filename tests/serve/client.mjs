// The official JavaScript client (@kubernetes/client-node) against a served cluster: `node client.mjs KUBECONFIG`.
//
// Picture to hold in mind: somebody else's program that was written for a real cluster and has never heard of ours. What
// it prints is compared with client.txt.

import { PassThrough, Readable } from "node:stream";
import * as k8s from "@kubernetes/client-node";

const config = new k8s.KubeConfig();
config.loadFromFile(process.argv[2]);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = "default";
const tell = (...words) => console.log(...words);
const until = async (is) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await is();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never: ${is}`);
};
/** A stream that keeps what is written to it. */
const kept = () => {
  const stream = new PassThrough();
  stream.text = "";
  stream.on("data", (data) => (stream.text += data));
  return stream;
};

// An informer that hears of everything below.
const seen = [];
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
  core.listNamespacedPod({ namespace }),
);
for (const event of ["add", "update", "delete"]) informer.on(event, (pod) => seen.push([event, pod.metadata.name]));
await informer.start();

// A Deployment, as its own class.
const labels = { app: "web" };
const template = { metadata: { labels }, spec: { containers: [{ name: "web", image: "nginx:1.27" }] } };
const made = await apps.createNamespacedDeployment({
  namespace,
  body: { metadata: { name: "web" }, spec: { replicas: 2, selector: { matchLabels: labels }, template } },
});
tell("created", made.metadata.name, made.spec.replicas, made.metadata.creationTimestamp instanceof Date);
await until(async () => (await apps.readNamespacedDeploymentStatus({ name: "web", namespace })).status.readyReplicas === 2);
const pods = (await core.listNamespacedPod({ namespace, labelSelector: "app=web" })).items;
tell("running", pods.map((pod) => pod.status.phase).join(" "));
const name = pods[0].metadata.name;

// A command, with and without something to read; an exit code.
const run = async (command, input) => {
  const [output, errors] = [kept(), kept()];
  const status = await new Promise((resolve, reject) =>
    new k8s.Exec(config)
      .exec(namespace, name, "web", command, output, errors, input && Readable.from([input]), false, resolve)
      .catch(reject),
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  tell("exec", command.join(" "), JSON.stringify([output.text, errors.text]), JSON.stringify(status));
};
await run(["sh", "-c", "echo out; echo err >&2; exit 4"]);
await run(["cat"], "read and written\n");

// A port, through which HTTP is spoken.
const [answer, failures, question] = [kept(), kept(), new PassThrough()];
await new k8s.PortForward(config).portForward(namespace, name, [80], answer, failures, question);
question.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
await until(() => answer.text.includes("</html>"));
tell("port", answer.text.split("\r\n")[0], answer.text.includes("Welcome to nginx!"), JSON.stringify(failures.text));

// What it says, followed.
const log = kept();
const following = await new k8s.Log(config).log(namespace, name, "web", log, { follow: true, tailLines: 1 });
await until(() => log.text.endsWith("\n"));
following.abort();
tell("log", log.text.split("\n").length - 1);

// Objects of any kind, patched, applied, refused.
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const settings = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings", namespace }, data: { a: "1" } };
await objects.create(settings);
await core.patchNamespacedConfigMap(
  { name: "settings", namespace, body: [{ op: "replace", path: "/data/a", value: "2" }] },
  k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.JsonPatch),
);
const applied = await objects.patch(
  { ...settings, data: { b: "3" } },
  undefined,
  undefined,
  "test",
  true,
  k8s.PatchStrategy.ServerSideApply,
);
tell("patched", JSON.stringify(applied.data));
const refused = await objects.create(settings).catch((error) => JSON.parse(error.body));
tell("refused", refused.code, refused.message);
const conflict = await objects
  .replace({ ...settings, metadata: { ...settings.metadata, resourceVersion: "1" } })
  .catch((error) => JSON.parse(error.body));
tell("refused", conflict.code, conflict.reason);
await objects.delete(settings);

// The end, as the informer hears it.
await apps.deleteNamespacedDeployment({ name: "web", namespace, propagationPolicy: "Foreground" });
await until(() => pods.every((pod) => seen.some(([event, of]) => event === "delete" && of === pod.metadata.name)));
const of = (event) => pods.every((pod) => seen.some(([kind, own]) => kind === event && own === pod.metadata.name));
tell("informer", of("add"), of("update"), of("delete"), informer.list().length);
await informer.stop();
process.exit(0);
