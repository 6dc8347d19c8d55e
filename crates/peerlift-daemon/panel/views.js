// What the control panel shows: it asks the public local API for what the open view needs, and hands
// the answers over. The larger views have files of their own.

import { at, el, put, putNotices, Rows } from "/parts.js";
import { Settings } from "/settings.js";
import { Sharing } from "/sharing.js";
import { Transfers } from "/transfers.js";
import { bytes, happened, speed, when } from "/words.js";

/** The views, and what each asks for while it is open, beside what is always asked for. */
export const VIEWS = {
  transfers: [], sharing: ["sharing"], applications: ["applications"], activity: ["activity"],
  settings: ["settings", "sharing"], about: ["why"], remove: ["why"],
};
const ALWAYS = ["status", "downloads", "questions"];
/** What is asked for every fifth time: reading a whole log every second would be a waste. */
const SLOW = ["activity", "about", "remove"];
const ENTRIES_SHOWN = 100;

/** The service said no. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** What went wrong, for a person. */
function troubleWords(error) {
  if (!(error instanceof Refused)) return "The background service does not answer. It may have ended: run “peerlift panel” again.";
  if (error.status === 401) return "This page’s key is no longer good. Run “peerlift panel” for a fresh link.";
  return `The service refused: ${error.message}`;
}

/** All views, and what they have in common. `ask`, `say` and `refresh` are the page's. */
export class Views {
  constructor({ ask, say, refresh }) {
    Object.assign(this, { ask, say, refresh, status: null, isGone: false, beats: 0, fault: null });
    this.transfers = new Transfers(this);
    this.sharing = new Sharing(this);
    this.settings = new Settings(this);
    this.applications = new Rows(at("application-list"), (item) => item.id, applicationRow);
    this.entries = new Rows(at("entries"), (entry) => `${entry.seq} ${entry.at}`, entryRow);
    at("pause-all").addEventListener("click", () => this.pauseAll());
    at("all-entries").addEventListener("click", () => {
      this.showsAll = true;
      refresh();
    });
    at("remove-ask").addEventListener("click", () => {
      at("removal").returnValue = "";
      at("removal").showModal();
    });
    at("removal").addEventListener("close", () => at("removal").returnValue === "remove" && this.remove());
  }

  /** Does what a button says, and tells how it went. */
  async act(done, method, path, content) {
    this.fault = null;
    try {
      const answer = await this.ask(method, path, content);
      this.say(done);
      await this.refresh();
      return answer;
    } catch (error) {
      this.fault = this.trouble(error);
      return null;
    }
  }

  /** Tells what went wrong, and gives the words. */
  trouble(error) {
    if (this.isGone) return null;
    if (!(error instanceof TypeError) && !(error instanceof Refused)) console.error(error);
    const words = troubleWords(error);
    putNotices(at("notices"), [["bad", words]]);
    this.say(words);
    return words;
  }

  pauseAll() {
    const paused = this.status?.downloads_paused;
    this.act(paused ? "Everything goes on" : "Everything is paused", "POST", paused ? "/v1/resume" : "/v1/pause");
  }

  async remove() {
    try {
      await this.ask("POST", "/v1/remove", { confirm: true });
      this.isGone = true;
      putNotices(at("notices"), []);
      this.say("Peerlift is removed");
    } catch (error) {
      this.fault = this.trouble(error);
    }
    this.refresh();
  }

  /** Asks for what a view shows, and shows it. */
  async update(name, entered) {
    if (this.isGone) return;
    const more = entered || !SLOW.includes(name) || this.beats % 5 === 0 ? VIEWS[name] : [];
    this.beats += 1;
    const wanted = [...ALWAYS, ...more];
    const answers = await Promise.all(wanted.map((what) => this.ask("GET", `/v1/${what}`)));
    const got = Object.fromEntries(wanted.map((what, index) => [what, answers[index]]));
    this.status = got.status;
    this.showStatus();
    this.transfers.show(got.downloads, got.status.rate_up);
    this.sharing.showWaiting(got.questions);
    if (more.length) this.showView(name, got, entered);
  }

  showView(name, got, entered) {
    if (name === "sharing") this.sharing.show(got);
    else if (name === "settings") this.settings.show(got, entered);
    else if (name === "applications") this.showApplications(got.applications);
    else if (name === "activity") this.showActivity(got.activity);
    else showWhy(got.why);
  }

  showStatus() {
    const status = this.status;
    put(at("rate-down"), speed(status.rate_down));
    put(at("rate-up"), speed(status.rate_up));
    put(at("pause-all"), status.downloads_paused ? "Let everything go on" : "Pause everything");
    put(at("pause-sharing"), status.sharing_paused ? "Let uploads go on" : "Pause uploads");
    put(at("foot"), `Peerlift ${status.version}, process ${status.process}, started by ${status.started_by}. ` +
      "This page comes from this computer and goes to this computer.");
    const notices = status.problems.map((words) => ["bad", `Problem: ${words}`]);
    if (this.fault) notices.unshift(["bad", this.fault]);
    if (status.downloads_paused) notices.push(["warn", "Everything is paused: nothing is downloaded, nothing is sent."]);
    putNotices(at("notices"), notices);
  }

  showApplications(list) {
    this.applications.show(list);
    at("no-applications").hidden = list.length > 0;
  }

  showActivity(activity) {
    const newest = activity.entries.toReversed();
    this.entries.show(this.showsAll ? newest : newest.slice(0, ENTRIES_SHOWN));
    at("all-entries").hidden = this.showsAll || newest.length <= ENTRIES_SHOWN;
    at("no-entries").hidden = newest.length > 0;
    putNotices(at("activity-check"), [activity.intact
      ? ["good", "This log is as it was written: nothing in it was changed or taken out."]
      : ["bad", "Caution: this log was tampered with or damaged. `peerlift activity` says where."]]);
  }
}

function applicationRow() {
  const name = el("h2"), more = el("p", { class: "more" });
  return { element: el("li", {}, name, more), update(item) {
    put(name, item.name);
    put(more, [item.id, item.program, `since ${when(item.since)}`].filter(Boolean).join(", "));
  } };
}

function entryRow(entry) {
  const time = el("time", { datetime: entry.at }, when(entry.at));
  return { element: el("li", {}, time, el("span", {}, happened(entry))), update() {} };
}

function showWhy(why) {
  const facts = factsOf(why), text = JSON.stringify([facts, why.files]);
  if (at("facts").dataset.shows === text) return;
  at("facts").dataset.shows = text;
  at("facts").replaceChildren(...facts.flatMap(([what, words]) => [el("dt", {}, what), el("dd", {}, words)]));
  for (const id of ["files", "doomed"]) at(id).replaceChildren(...why.files.map((file) => el("li", {}, file)));
}

function factsOf(why) {
  const service = why.service, unknown = "nobody noted that";
  return [
    ["Program", `${why.program}, version ${why.version}`],
    ["Came with", why.package ? `the Debian package ${why.package}` : why.origin?.installed_by ?? unknown],
    ["Since", why.origin ? when(why.origin.at) : unknown],
    ["Runs", service ? `since ${when(service.since)}, started by ${service.started_by} (process ${service.process})` : "not"],
    ["Used by", why.applications.map((application) => application.name).join(", ") || "no application; you started it yourself"],
    ["Open ports", service?.listening.join(", ") || "none"],
    ["Firewall rules", why.firewall_rules.join(", ") || "none; it makes none"],
    ["Shares", why.shares ? "what you agreed to, see Sharing" : "nothing"],
    ["Sent, received", `${bytes(why.sent)}, ${bytes(why.received)}`],
    ...why.tampering.map((words) => ["Caution", words]), ...why.problems.map((words) => ["Problem", words]),
  ];
}
