// Live numbers, refreshed parts, the graph, and small conveniences. Every page works without this.
"use strict";

const root = document.documentElement;
const format = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

// -- light and dark --

const themeButton = document.getElementById("theme");
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("asyncjobs-theme", root.dataset.theme); } catch { /* lasts for this page */ }
  graph?.restyle();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => graph?.restyle());

// On a phone the navigation is one line: show where we are in it.
const present = document.querySelector("nav [aria-current]");
if (present) {
  const line = present.closest("nav");
  line.scrollLeft = present.offsetLeft - (line.clientWidth - present.offsetWidth) / 2;
}

// -- live numbers --

const pulse = document.getElementById("pulse");
const trouble = document.getElementById("trouble");
let stream = null;
let lastTick = 0;

function show(state, words) {
  if (!pulse) return;
  pulse.dataset.state = state;
  pulse.textContent = words;
}

function tell(message) {
  trouble.hidden = !message;
  trouble.textContent = message ? `The storage gives no answer: ${message}. What is shown is old.` : "";
}

function open() {
  if (stream || !document.body.dataset.live) return;
  stream = new EventSource(document.body.dataset.live);
  stream.addEventListener("numbers", (event) => {
    lastTick = Date.now();
    show("on", "live");
    tell("");
    apply(JSON.parse(event.data));
  });
  stream.addEventListener("trouble", (event) => {
    lastTick = Date.now();
    show("bad", "no answer");
    tell(JSON.parse(event.data).message);
  });
  stream.addEventListener("error", () => {
    show("off", "connecting…");
    if (stream?.readyState === EventSource.CLOSED) {
      // Refused: too many pages, or no access any more. Numbers stay as they are until another try.
      stream = null;
      show("off", "not live");
      setTimeout(open, 15000);
    }
  });
}

function close() {
  stream?.close();
  stream = null;
}

// A browser opens six connections to a server: a page that nobody sees keeps none.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", () => { if (!document.hidden) open(); });

function apply(numbers) {
  for (const element of document.querySelectorAll("[data-number]")) {
    const value = element.dataset.number.split(".").reduce((from, name) => from?.[name], numbers);
    const text = value === undefined || value === null ? (element.dataset.number.startsWith("counts") ? "0" : "–") : format.format(value);
    if (element.textContent !== text) element.textContent = text;
  }
  graph?.add(numbers);
  refresh();
}

// -- parts that are asked for again: but not while somebody works with them --

const refreshed = new WeakMap();

function busy(element) {
  const selection = getSelection();
  return (
    element.querySelector("details.menu[open], input:checked:not([data-kept]), input.other-queue:not(:placeholder-shown)") !== null ||
    (element.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) ||
    (selection && !selection.isCollapsed && element.contains(selection.anchorNode))
  );
}

function refresh() {
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-refresh]")) {
    const due = (refreshed.get(element) ?? 0) + Number(element.dataset.refresh) * 1000 - 200;
    if (now < due || busy(element)) continue;
    refreshed.set(element, now);
    htmx.trigger(element, "refresh");
  }
}

// -- the live graph --

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

class Graph {
  constructor(box) {
    this.box = box;
    this.data = [[], [], []];
    for (const [at, succeeded, failed] of JSON.parse(box.dataset.points)) this.push(at, succeeded, failed);
    this.make();
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(box);
  }

  push(at, succeeded, failed) {
    const times = this.data[0];
    if (times.length && at <= times[times.length - 1]) return;
    times.push(at);
    this.data[1].push(succeeded);
    this.data[2].push(failed);
    while (times.length && at - times[0] > 300) this.data.forEach((column) => column.shift());
  }

  size() {
    return { width: this.box.clientWidth, height: this.box.clientHeight };
  }

  make() {
    const colour = (name) => getComputedStyle(root).getPropertyValue(name) && this.resolve(name);
    const axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const line = (label, name, soft) => ({
      label,
      stroke: colour(name),
      fill: colour(soft),
      width: 1.75,
      points: { show: false },
      value: (_, value) => (value === null || value === undefined ? "–" : `${format.format(value)}/s`),
    });
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        ...this.size(),
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 7 } },
        scales: {
          // Up to five minutes, the last at the right edge; from 0, and never flat.
          x: { time: true, range: (_, least, most) => [Math.max(most - 300, Math.min(least, most - 60)), most] },
          y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.15)] },
        },
        axes: [
          { ...axis, space: 80, size: 28, values: (_, moments) => moments.map(clock) },
          { ...axis, size: 44, space: 32 },
        ],
        series: [{}, line("succeeded", "--succeeded", "--succeeded-soft"), line("failed", "--failed", "--failed-soft")],
        hooks: { setCursor: [(plot) => this.point(plot)] },
      },
      this.data,
      this.box,
    );
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.plot.over.append(this.tip);
  }

  // A canvas doesn't know light-dark(): have the browser work out what it is now.
  resolve(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    this.box.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  }

  point(plot) {
    const { idx, left } = plot.cursor;
    if (!this.tip) return;
    this.tip.hidden = left < 0 || typeof this.data[1][idx] !== "number";
    if (this.tip.hidden) return;
    const at = clock(this.data[0][idx]);
    const [good, bad] = [this.data[1][idx], this.data[2][idx]].map((rate) => (rate === null ? "–" : format.format(rate)));
    this.tip.textContent = `${at}  ${good}/s succeeded, ${bad}/s failed`;
    this.tip.style.left = `${Math.min(Math.max(left, 110), plot.over.clientWidth - 110)}px`;
  }

  add(numbers) {
    this.push(numbers.at, numbers.succeeded, numbers.failed);
    this.plot.setData(this.data);
  }

  restyle() {
    this.make();
  }
}

// -- times in the zone of who looks --

function localize() {
  for (const element of document.querySelectorAll("time[data-local]")) {
    const when = new Date(element.getAttribute("datetime"));
    element.textContent = `${when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })} here`;
    element.hidden = false;
  }
}
localize();
document.addEventListener("htmx:after:swap", localize);

const box = document.getElementById("live-graph");
const graph = box && window.uPlot ? new Graph(box) : null;

// -- lists --

document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-select-all]");
  const form = event.target.closest("form");
  if (all && form) for (const each of form.querySelectorAll('input[name="job"]')) each.checked = all.checked;
  if (form?.matches("[data-selects]")) {
    const chosen = form.querySelectorAll('input[name="job"]:checked').length;
    form.dataset.chosen = String(chosen);
    for (const place of form.querySelectorAll("[data-chosen-count]")) place.textContent = chosen ? `(${chosen})` : "";
  }
});

// One menu at a time, and Escape closes it.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.menu") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.menu[open]")) if (other !== event.target) other.open = false;
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  }
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest("input, textarea, select")) {
    const find = document.getElementById("find");
    if (find) { event.preventDefault(); find.focus(); }
  }
});

if (!document.hidden) open();
