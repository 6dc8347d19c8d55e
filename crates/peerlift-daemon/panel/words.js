// Numbers, times and happenings in words: the same words for the same thing as in the terminal.

export const STATES = { waiting: "waiting", running: "downloading", paused: "paused", sharing: "sharing", done: "done",
  failed: "failed" };
export const AGREED = { off: "not shared", "while-downloading": "shared while downloading",
  "in-background": "shared in the background" };

/** Bytes as people read them, with a thousand to the step. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0, size = count;
  while (size >= 999.5 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  const digits = unit === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return `${Number(size.toFixed(digits))} ${units[unit]}`;
}

export const speed = (rate) => `${bytes(Math.round(rate))}/s`;

export function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export const when = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const percent = (part, whole) => (whole > 0 ? Math.min((100 * part) / whole, 100) : 0);
export const calls = (publisher) => publisher.publisher_name || `the publisher ${publisher.publisher.slice(0, 8)}…`;

/** Why uploads rest. */
export function pauseWords(pause) {
  return {
    user: "you paused them",
    policy: `this machine’s administrator does not allow them: ${pause.why}`,
    hours: `it is not ${pause.hours}, when you share`,
    metered: "the network is paid by the byte",
    battery: "the machine runs on its battery",
    vpn: `everything goes through a VPN (${pause.interface})`,
    disk: pause.why,
    limit: pause.why,
    uncounted: `what is sent cannot be counted: ${pause.why}`,
  }[pause.reason] ?? pause.why ?? pause.reason;
}

const HAPPENINGS = {
  installed: ({ origin }) => `first seen here: ${origin.program} ${origin.version}, by ${origin.installed_by}`,
  updated: (entry) => `updated from ${entry.from} to ${entry.to}`,
  consent: (entry) => `${entry.answered_by} answered: files of ${entry.publisher_name || "a publisher"} are ` +
    `${AGREED[entry.agreed] ?? entry.agreed} (key ${entry.publisher.slice(0, 8)}…), asked by ${entry.asked_by}`,
  "app-registered": (entry) => `application “${entry.name}” (${entry.app}) uses it`,
  "app-released": (entry) => `application ${entry.app} uses it no more`,
  started: (entry) => `began to run in the background, started by ${entry.started_by}`,
  stopped: (entry) => `stopped running in the background: ${entry.why}`,
  listening: ({ sockets }) => (sockets.length ? `lets others in at ${sockets.join(", ")}` : "closed all ports"),
  "download-started": (entry) => `began to download ${entry.name} from ${entry.url}`,
  downloaded: ({ name, size, from_edge, from_peers }) =>
    `downloaded ${name}, ${bytes(size)}, ${Math.round(percent(from_peers, from_edge + from_peers))} % of it from other users`,
  "download-failed": (entry) => `could not download ${entry.name}: ${entry.why}`,
  shared: (entry) => `sent ${bytes(entry.bytes)} of ${entry.name} to others`,
  "sharing-ended": (entry) => `no longer shares ${entry.name}: ${entry.why}`,
  paused: (entry) => `uploads rest: ${entry.why}`,
  resumed: (entry) => `uploads go on: ${entry.why}`,
  "settings-changed": (entry) => `settings changed: ${entry.what}`,
  repaired: (entry) => `repaired: ${entry.what}`,
  sealed: () => "began a new file of this log",
  removed: (entry) => `removed, asked by ${entry.asked_by}`,
  allowed: (entry) => `${entry.by} let it come back`,
};

/** What an entry of the activity log says. */
export function happened(entry) {
  return HAPPENINGS[entry.kind]?.(entry) ?? "something that only a later version knows";
}
