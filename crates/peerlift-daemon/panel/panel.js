// The control panel's frame: which view is shown, what is asked of the service and how often, and
// what is told when it does not answer. The views themselves are in views.js.

import { Refused, VIEWS, Views } from "/views.js";

const KEY = "peerlift-page";
const EVERY_MS = 1000;
/** A hidden page asks just often enough to keep its port open. */
const HIDDEN_EVERY_MS = 60_000;

// The key came in the fragment of the link, which browsers send to nobody. It stays in this tab.
const given = location.hash.match(/^#([0-9a-f]{64})$/);
if (given) {
  sessionStorage.setItem(KEY, given[1]);
  history.replaceState(null, "", "/#/transfers");
}
const pageKey = sessionStorage.getItem(KEY) ?? "";

/** Asks the service. Throws a Refused with its words, or a TypeError when it does not answer. */
async function ask(method, path, content) {
  const response = await fetch(path, {
    method,
    headers: { "Peerlift-Page": pageKey },
    body: content === undefined ? undefined : JSON.stringify(content),
    cache: "no-store",
  });
  const value = await response.json();
  if (!response.ok) throw new Refused(response.status, value.error);
  return value;
}

const views = new Views({ ask, say, refresh: () => beat() });
let timer, gone = false, beating = false;

/** Tells a person who listens rather than looks. */
function say(words) {
  document.getElementById("live").textContent = words;
}

/** The view that the address names. */
function wanted() {
  const name = location.hash.replace(/^#\//, "");
  return Object.hasOwn(VIEWS, name) ? name : "transfers";
}

function show(name, focus) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = document.getElementById(`${name}-title`);
  document.title = `${title.textContent} – Peerlift`;
  if (focus) title.focus();
}

/** Asks for what the present view shows, and plans the next time. */
async function beat(entered = false) {
  if (gone || (beating && !entered)) return;
  clearTimeout(timer);
  beating = true;
  try {
    await views.update(wanted(), entered);
  } catch (error) {
    views.trouble(error);
  }
  beating = false;
  if (views.isGone) {
    gone = true;
    show("gone", true);
    document.querySelector("nav").hidden = document.querySelector(".top .now").hidden = true;
    document.getElementById("pause-all").hidden = true;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(beat, document.hidden ? HIDDEN_EVERY_MS : EVERY_MS);
}

addEventListener("hashchange", () => {
  if (gone || location.hash === "#main") return;
  show(wanted(), true);
  beat(true);
});
document.addEventListener("visibilitychange", () => document.hidden || beat());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
show(wanted(), false);
beat(true);
