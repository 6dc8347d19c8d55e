// The view of sharing: what goes out, against which limits, and by whose leave; and the question.

import { at, bar, button, el, put, putNotices, Rows } from "/parts.js";
import { AGREED, bytes, calls, pauseWords, percent, speed, when } from "/words.js";

/** One figure against its limit. */
class Counter {
  constructor(words) {
    this.words = words;
    this.much = el("p", { class: "much" });
    this.of = el("p", { class: "of" });
    this.fill = bar(words);
    this.element = el("div", { class: "counter" }, el("p", { class: "what" }, words), this.much, this.fill.element, this.of);
  }

  /** `part`: percent of the limit; `null`: there is nothing to compare. */
  show(much, part, of) {
    put(this.much, much);
    put(this.of, of);
    this.fill.element.hidden = part === null;
    if (part !== null) this.fill.set([["", part]], `${much} ${of}`);
  }
}

/** One publisher: its row. */
class Publisher {
  constructor(sharing) {
    this.sharing = sharing;
    this.name = el("h3");
    this.badge = el("span", { class: "badge" });
    this.more = el("p", { class: "more" });
    this.revoke = button("Stop sharing", () =>
      sharing.keep(this.item, "off", "The control panel’s button “Stop sharing”"));
    this.change = button("", () => sharing.ask(this.item));
    this.element = el("li", {}, el("div", { class: "head" }, this.name, this.badge), this.more,
      el("div", { class: "actions" }, this.revoke, this.change));
  }

  update(item) {
    this.item = item;
    const unasked = item.answer === null, shares = !unasked && item.answer !== "off";
    put(this.name, item.publisher_name || "A publisher without a name");
    put(this.badge, unasked ? "not asked yet" : AGREED[item.answer]);
    this.badge.className = `badge ${shares ? "yes" : unasked ? "paused" : ""}`;
    const kept = item.kept && `, answered ${when(item.kept.at)} by ${item.kept.answered_by} to ${item.kept.asked_by}`;
    put(this.more, `${item.origin || "place unknown"}, key ${item.publisher.slice(0, 16)}…${kept ?? ""}`);
    put(this.change, unasked ? "Answer…" : shares ? "Change…" : "Share…");
    this.change.className = unasked ? "primary" : "";
    this.change.setAttribute("aria-label", `${this.change.textContent} ${calls(item)}`);
    this.revoke.setAttribute("aria-label", `Stop sharing files of ${calls(item)}`);
    this.revoke.hidden = !shares;
  }
}

const answers = () => document.querySelectorAll("input[name=agreed]");
const chosen = () => document.querySelector("input[name=agreed]:checked").value;

/** The view. */
export class Sharing {
  constructor(frame) {
    this.frame = frame;
    this.waiting = 0;
    this.month = new Counter("Sent this month");
    this.ratio = new Counter("Sent in all");
    this.rate = new Counter("Sending now");
    this.object = new Counter("Of one file");
    at("counters").append(...[this.month, this.ratio, this.rate, this.object].map((counter) => counter.element));
    this.publishers = new Rows(at("publishers"), (item) => item.publisher, () => new Publisher(this));
    for (const input of answers()) input.addEventListener("change", () => this.showQuestion());
    at("question").addEventListener("close", () => {
      if (at("question").returnValue === "keep") this.keep(this.asked, chosen(), this.text());
    });
    at("pause-sharing").addEventListener("click", () => {
      const paused = frame.status?.sharing_paused;
      frame.act(paused ? "Uploads go on" : "Uploads are paused", "POST", `/v1/sharing/${paused ? "resume" : "pause"}`);
    });
  }

  show({ sharing, questions }) {
    putNotices(at("sharing-now"), this.now(sharing));
    this.showCounters(sharing);
    const kept = new Map(sharing.consents.map((answer) => [answer.publisher, answer]));
    this.publishers.show(questions.map((question) => ({ ...question, kept: kept.get(question.publisher) })));
    at("no-publishers").hidden = questions.length > 0;
  }

  now(sharing) {
    const { pauses, listening } = this.frame.status;
    if (sharing.consents.every((answer) => answer.share === "off")) {
      return [["good", "Nothing is shared: you have not agreed to share files of any publisher."]];
    }
    if (pauses.length) return pauses.map((pause) => ["warn", `Uploads rest: ${pauseWords(pause)}.`]);
    const open = listening.length ? `Others are let in at ${listening.join(", ")}.` : "No port is open.";
    return [["good", `Uploads may go to others. ${open}`]];
  }

  showCounters({ limits, sent, received, sent_this_month: monthly, uplink_percent: uplink }) {
    const { cap, rate_up: up } = this.frame.status;
    const allowed = limits.ratio * received, month = limits["month-bytes"];
    this.month.show(bytes(monthly), percent(monthly, month), `of at most ${bytes(month)}`);
    this.ratio.show(bytes(sent), percent(sent, allowed),
      `of at most ${bytes(allowed)}: ${limits.ratio} × the ${bytes(received)} received`);
    this.rate.show(speed(up), cap === null ? null : percent(up, cap), cap === null
      ? `at most ${uplink} % of the uplink, once it is measured` : `of at most ${speed(cap)}, ${uplink} % of the uplink`);
    this.object.show(`${bytes(limits["object-bytes"])} at most`, null, "sent to others, over all time");
  }

  /** Shows how many publishers wait for an answer, whichever view is open. */
  showWaiting(questions) {
    const waiting = questions.filter((question) => question.answer === null).length;
    if (waiting === this.waiting) return;
    const mark = waiting ? [el("span", { class: "count" }, `${waiting}`), el("span", { class: "unseen" }, " without an answer")] : [];
    document.querySelector('nav a[href="#/sharing"]').replaceChildren("Sharing", ...mark);
    if (waiting > this.waiting) this.frame.say(`${waiting === 1 ? "A publisher asks" : `${waiting} publishers ask`} whether you share; see Sharing`);
    this.waiting = waiting;
  }

  // The question

  ask(item) {
    this.asked = item;
    put(at("question-title"), `Share files of ${calls(item)}?`);
    for (const input of answers()) input.checked = input.value === (item.answer ?? "off");
    this.showQuestion();
    at("question").returnValue = "";
    at("question").showModal();
  }

  /** The words for the chosen answer; for a no, what the widest yes would mean. */
  text() {
    return this.asked.texts[chosen() === "while-downloading" ? "while-downloading" : "in-background"];
  }

  showQuestion() {
    put(at("question-text"), this.text().replaceAll("\n", " "));
  }

  keep(item, agreed, text) {
    return this.frame.act(`Files of ${calls(item)} are ${AGREED[agreed]}`, "PUT", `/v1/consents/${item.publisher}`, {
      agreed, text, asked_by: `peerlift panel ${this.frame.status.version}`, publisher_name: item.publisher_name,
      origin: item.origin });
  }
}
