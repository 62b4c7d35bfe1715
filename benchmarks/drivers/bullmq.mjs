// BullMQ on Node: the same protocol as protocol.py, of which see the comments there.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import path from "node:path";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: "string" },
    loop: { type: "string" },
    measure: { type: "string" },
    variant: { type: "string" },
    modules: { type: "string" },
  },
});
// ESM resolves packages beside this file; ours are installed elsewhere.
const require = createRequire(path.join(values.modules, "package.json"));
const { Queue, Worker } = require("bullmq");
const { version } = require("bullmq/package.json");

const QUEUE = "bench";
const CHUNK = 1000; // addBulk is one transaction, so Redis is held for as long as one chunk takes

const mono = () => Number(process.hrtime.bigint() / 1000n);
const wall = () => Math.round((performance.timeOrigin + performance.now()) * 1000);
const emit = (event, fields) => writeSync(1, JSON.stringify({ event, ...fields }) + "\n");
const sleep = (us) => new Promise((resolve) => setTimeout(resolve, us / 1000));

const { hostname: host, port } = new URL(values.url);
const connection = { host, port: Number(port) };

async function spread(count, tasks, one) {
  let left = count;
  const repeat = async () => {
    while (left > 0) {
      left -= 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: Math.min(tasks, count) }, repeat));
}

async function produce() {
  const queue = new Queue(QUEUE, { connection });
  await queue.waitUntilReady();
  emit("hello", {
    version: `${version}, Node ${process.versions.node}`,
    settings: "concurrency=100, completed jobs kept (default), ioredis",
    probe: ["ZCARD", `bull:${QUEUE}:completed`],
    probe_pattern: "",
    has_bulk: true,
    has_delayed: true,
  });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const { count } = command;
    const began = mono();
    switch (command.do) {
      case "one_by_one":
        for (let n = 0; n < count; n++) await queue.add("noop", {});
        break;
      case "concurrent":
        await spread(count, command.tasks, () => queue.add("noop", {}));
        break;
      case "bulk": {
        const data = command.size ? { argument: "x".repeat(command.size) } : {};
        for (let start = 0; start < count; start += CHUNK) {
          const length = Math.min(CHUNK, count - start);
          await queue.addBulk(Array.from({ length }, () => ({ name: "noop", data })));
        }
        break;
      }
      case "samples":
        for (let n = 0; n < count; n++) {
          await queue.add("sample", { given: mono() });
          await sleep(command.gap);
        }
        break;
      case "delayed": {
        const first = wall() + command.lead;
        for (let n = 0; n < count; n++) {
          const due = first + n * command.step;
          await queue.add("sample", { given: due }, { delay: Math.max(0, Math.ceil((due - wall()) / 1000)) });
        }
        break;
      }
      default:
        throw new Error(`unknown command ${command.do}`);
    }
    emit("done", { took: mono() - began });
  }
  await queue.close();
}

function work() {
  process.stdin.on("end", () => process.exit(0)).resume();
  let started = false;
  new Worker(
    QUEUE,
    async (job) => {
      if (job.name === "sample") {
        const times = { mono: mono(), wall: wall() };
        emit("start", { given: job.data.given, ...times });
      } else if (!started) {
        started = true;
        const { user, system } = process.cpuUsage();
        emit("first", { mono: mono(), cpu: (user + system) / 1e6 });
      }
    },
    { connection, concurrency: 100 },
  );
}

if (positionals[0] === "worker") work();
else await produce();
