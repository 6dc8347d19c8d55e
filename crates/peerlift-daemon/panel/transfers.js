// The view of transfers: what is under way and what has ended, how fast, and where bytes come from.

import { at, bar, button, el, put, Rows } from "/parts.js";
import { Plot } from "/plot.js";
import { bytes, duration, percent, speed, STATES, when } from "/words.js";

const OVER = ["done", "failed"];
const RESTING = ["paused", "failed"];
const isOver = (item) => OVER.includes(item.state);
const rests = (item) => RESTING.includes(item.state);
const hostOf = (url) => new URL(url).host;

function nameOf(item) {
  const url = item.wanted.urls[0];
  return item.name ?? (decodeURIComponent(new URL(url).pathname.split("/").at(-1)) || url);
}

/** What the button that pauses says and does for an item. */
function pauseWord(item) {
  if (item.state === "failed") return "Try again";
  if (item.state === "paused") return "Go on";
  return item.state === "sharing" ? "Stop sharing it" : "Pause";
}

/** One transfer: its row. */
class Transfer {
  constructor(frame, item) {
    this.frame = frame;
    this.item = item;
    this.path = `/v1/downloads/${item.id}`;
    this.name = el("h3");
    this.origin = el("span", { class: "origin" });
    this.badge = el("span", { class: "badge" });
    this.progress = bar("Progress");
    this.figures = el("p", { class: "figures" });
    this.fault = el("p", { class: "fault" });
    this.pause = button("", () => this.pauseOrGoOn());
    this.forget = button("Remove from list", () =>
      frame.act(`${nameOf(this.item)} is off the list; its file stays`, "DELETE", this.path));
    this.priority = el("select", { onchange: () => this.prioritise() },
      ...["high", "normal", "low"].map((word) => el("option", { value: word }, word)));
    this.choose = el("label", {}, "Priority", this.priority);
    this.manners = el("select", { onchange: () => this.giveWayOrNot() },
      el("option", { value: "background" }, "gives way"), el("option", { value: "foreground" }, "takes its share"));
    this.chooseManners = el("label", {}, "On the line", this.manners);
    this.element = el("li", {}, el("div", { class: "head" }, this.name, this.origin, this.badge), this.progress.element,
      this.figures, this.fault, el("div", { class: "actions" }, this.pause, this.forget, this.choose,
        this.chooseManners));
  }

  pauseOrGoOn() {
    const goesOn = rests(this.item);
    this.frame.act(`${nameOf(this.item)} ${goesOn ? "goes on" : "is paused"}`, "POST",
      `${this.path}/${goesOn ? "resume" : "pause"}`);
  }

  prioritise() {
    const priority = this.priority.value;
    this.frame.act(`${nameOf(this.item)} now has ${priority} priority`, "PUT", `${this.path}/priority`, { priority });
  }

  giveWayOrNot() {
    const foreground = this.manners.value === "foreground";
    this.frame.act(`${nameOf(this.item)} ${foreground ? "takes its share of the line" : "gives way to everything else"}`,
      "PUT", `${this.path}/foreground`, { foreground });
  }

  update(item) {
    this.item = item;
    const title = nameOf(item);
    put(this.name, title);
    put(this.origin, `from ${hostOf(item.wanted.urls[0])}`);
    put(this.badge, STATES[item.state] ?? item.state);
    this.badge.className = `badge ${item.state}`;
    put(this.fault, item.state === "failed" ? item.why : item.waits_for ? `It waits: ${item.waits_for}.` : "");
    put(this.pause, pauseWord(item));
    this.pause.setAttribute("aria-label", `${pauseWord(item)}: ${title}`);
    this.forget.setAttribute("aria-label", `Remove from list: ${title}`);
    this.priority.setAttribute("aria-label", `Priority of ${title}`);
    this.pause.hidden = item.state === "done";
    this.choose.hidden = isOver(item) || item.state === "sharing";
    if (document.activeElement !== this.priority) this.priority.value = item.wanted.priority;
    this.manners.setAttribute("aria-label", `What it does to the line: ${title}`);
    this.chooseManners.hidden = this.choose.hidden;
    if (document.activeElement !== this.manners) this.manners.value = item.wanted.foreground ? "foreground" : "background";
    this.progress.element.hidden = !item.progress;
    if (item.progress) showProgress(item.progress, this.progress);
    put(this.figures, figuresOf(item).filter(Boolean).join(" · "));
  }
}

function showProgress(p, bar) {
  const size = p.size ?? Math.max(p.done, 1);
  const before = Math.max(p.done - p.from_edge - p.from_peers, 0);
  const parts = [["edge", Math.min(p.from_edge, p.done)], ["peers", Math.min(p.from_peers, p.done)], ["before", before]];
  bar.set(parts.map(([name, part]) => [name, percent(part, size)]),
    `${bytes(p.done)} of ${p.size === null ? "an unknown size" : bytes(p.size)}: ${bytes(p.from_edge)} from the publisher’s ` +
    `servers, ${bytes(p.from_peers)} from other users`);
}

function figuresOf(item) {
  const p = item.progress, runs = item.state === "running";
  if (!p) {
    return [item.path ?? item.wanted.folder, item.ended && `ended ${when(item.ended)}`,
      item.wanted.not_before && !item.ended && `not before ${when(item.wanted.not_before)}`];
  }
  return [
    p.size !== null && p.done < p.size ? `${bytes(p.done)} of ${bytes(p.size)}` : bytes(p.done),
    `${bytes(p.from_edge)} from servers`, `${bytes(p.from_peers)} from other users`,
    runs && `↓ ${speed(p.rate_down)}`,
    p.uploaded > 0 && `${bytes(p.uploaded)} sent`, p.rate_up > 0 && `↑ ${speed(p.rate_up)}`,
    p.peers > 0 && `${p.peers} ${p.peers === 1 ? "other user" : "other users"} connected`,
    runs && p.eta_s !== null && `${duration(p.eta_s)} left`,
  ];
}

/** The view. It is shown all downloads every time, whichever view is open: the plot remembers them. */
export class Transfers {
  constructor(frame) {
    this.frame = frame;
    this.plot = new Plot(at("plot"));
    this.states = new Map();
    const make = (item) => new Transfer(frame, item);
    this.underWay = new Rows(at("under-way"), (item) => item.id, make);
    this.finished = new Rows(at("finished"), (item) => item.id, make);
  }

  show(downloads, rateUp) {
    this.showRates(downloads, rateUp);
    const over = downloads.filter(isOver).toReversed(), open = downloads.filter((item) => !isOver(item));
    this.underWay.show(open);
    this.finished.show(over);
    at("nothing-under-way").hidden = open.length > 0;
    at("finished-title").hidden = over.length === 0;
    this.tell(downloads);
  }

  showRates(downloads, rateUp) {
    const now = Date.now();
    const rates = this.plot.take(downloads, rateUp, now);
    for (const [id, rate] of [["now-edge", rates.edge], ["now-peers", rates.peers], ["now-up", rates.up]]) put(at(id), speed(rate));
    if (!at("transfers").hidden) this.plot.draw(now, speed);
    put(at("plot-words"), `Now ${speed(rates.edge)} from the publisher’s servers, ${speed(rates.peers)} from other users, ` +
      `${speed(rates.up)} sent to others.`);
  }

  /** Says what has ended. */
  tell(downloads) {
    for (const item of downloads) {
      const before = this.states.get(item.id);
      if (!before || before === item.state) continue;
      if (item.state === "failed") this.frame.say(`${nameOf(item)} failed: ${item.why}`);
      else if (item.state === "sharing" || item.state === "done") this.frame.say(`${nameOf(item)} is complete`);
    }
    this.states = new Map(downloads.map((item) => [item.id, item.state]));
  }
}
