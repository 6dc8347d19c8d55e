// The plot of where bytes come from: what the publisher's servers and other users sent, one on top of
// the other, and what went out, over the last two minutes. It remembers samples, and draws them as SVG.

const SECONDS = 120;
/** A page that has just been opened shows less time, so that there is something to see. */
const SECONDS_MIN = 30;
const BOX = { left: 62, top: 10, bottom: 156, height: 180 };
const SVG = "http://www.w3.org/2000/svg";

/** Samples of the last two minutes, and the plot of them. */
export class Plot {
  constructor(svg) {
    this.svg = svg;
    this.samples = [];
    this.totals = new Map();
  }

  /** Takes the counters of all downloads at a time (ms) and notes what came since the last. */
  take(downloads, up, now) {
    const last = this.samples.at(-1);
    const seconds = last ? Math.max((now - last.at) / 1000, 0.2) : null;
    let edge = 0, peers = 0;
    const totals = new Map();
    for (const { id, progress } of downloads) {
      if (!progress) continue;
      const known = this.totals.get(id);
      totals.set(id, progress);
      if (!known || !seconds) continue;
      // A download that began again counts from nothing.
      edge += Math.max(progress.from_edge - known.from_edge, 0);
      peers += Math.max(progress.from_peers - known.from_peers, 0);
    }
    this.totals = totals;
    const sample = { at: now, edge: seconds ? edge / seconds : 0, peers: seconds ? peers / seconds : 0, up };
    this.samples.push(sample);
    while (this.samples[0].at < now - SECONDS * 1000) this.samples.shift();
    return this.recent(now);
  }

  /** The mean of the last three seconds: one is as jumpy as the network. */
  recent(now) {
    const recent = this.samples.filter((sample) => sample.at > now - 3000);
    const mean = (key) => recent.reduce((sum, sample) => sum + sample[key], 0) / recent.length;
    return { edge: mean("edge"), peers: mean("peers"), up: mean("up") };
  }

  /** Draws. `speed` words a number of bytes a second. */
  draw(now, speed) {
    const most = Math.max(...this.samples.map((s) => Math.max(s.edge + s.peers, s.up)), 0);
    const top = ceiling(most);
    // As many units as there are pixels: words are as large on a phone as on a wide screen.
    const width = Math.max(this.svg.clientWidth, 200), right = width - 8;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${BOX.height}`);
    const age = this.samples.length ? (now - this.samples[0].at) / 1000 : 0;
    const seconds = Math.min(Math.max(Math.ceil(age / 10) * 10, SECONDS_MIN), SECONDS);
    const x = (at) => right - ((now - at) / (seconds * 1000)) * (right - BOX.left);
    const y = (rate) => BOX.bottom - (rate / top) * (BOX.bottom - BOX.top);
    const parts = [0, 0.5, 1].flatMap((part) => [
      shape("line", { class: "grid", x1: BOX.left, x2: right, y1: y(part * top), y2: y(part * top) }),
      shape("text", { x: BOX.left - 6, y: y(part * top) + 4, "text-anchor": "end" }, speed(part * top)),
    ]);
    for (const [ago, words, anchor] of [[seconds, `${seconds} s ago`, "start"], [seconds / 2, `${seconds / 2} s`, "middle"], [0, "now", "end"]]) {
      parts.push(shape("text", { x: x(now - ago * 1000), y: BOX.bottom + 17, "text-anchor": anchor }, words));
    }
    const points = this.samples.map((s) => ({ x: x(s.at), low: y(s.edge), high: y(s.edge + s.peers), up: y(s.up) }));
    if (points.length > 1) {
      parts.push(shape("path", { class: "edge", d: area(points, () => BOX.bottom, (p) => p.low) }));
      parts.push(shape("path", { class: "peers", d: area(points, (p) => p.low, (p) => p.high) }));
      parts.push(shape("path", { class: "up", d: line(points, (p) => p.up) }));
    }
    this.svg.replaceChildren(...parts);
  }
}

/** The least of 1, 2, 5 · 10ⁿ that is not below; at least 100 kB/s, lest silence looks like much. */
function ceiling(rate) {
  const least = Math.max(rate, 100_000);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= least);
}

function line(points, high) {
  return "M" + points.map((p) => `${p.x.toFixed(1)} ${high(p).toFixed(1)}`).join("L");
}

function area(points, low, high) {
  const back = points.toReversed().map((p) => `L${p.x.toFixed(1)} ${low(p).toFixed(1)}`);
  return line(points, high) + back.join("") + "Z";
}

function shape(name, attributes, words) {
  const shape = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  if (words) shape.textContent = words;
  return shape;
}
