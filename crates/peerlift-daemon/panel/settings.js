// The view of settings: how much may be sent, when uploads rest, the hours for it, and room on disks.

import { at, el, put } from "/parts.js";

const GIGABYTE = 1e9;

/** Hours of the day: any, or from one minute to another. Written as the settings file has them. */
class Hours {
  constructor(place) {
    const id = place.id;
    this.always = el("input", { id: `${id}-always`, type: "checkbox" });
    this.from = el("input", { id: `${id}-from`, type: "time", required: "" });
    this.until = el("input", { id: `${id}-until`, type: "time", required: "" });
    const label = (field, words) => el("label", { for: field.id }, words);
    this.span = el("div", { class: "span" },
      el("div", { class: "field" }, label(this.from, "From"), this.from),
      el("div", { class: "field" }, label(this.until, "Until"), this.until));
    place.append(el("div", { class: "check" }, this.always, label(this.always, "At any hour")), this.span);
    this.always.addEventListener("change", () => this.enable());
    for (const field of [this.from, this.until]) field.addEventListener("input", () => this.compare());
  }

  enable() {
    this.span.hidden = this.always.checked;
    for (const field of [this.from, this.until]) field.disabled = this.always.checked;
    this.compare();
  }

  /** Nobody can tell whether the same time twice is a whole day or nothing. */
  compare() {
    const same = this.from.value === this.until.value;
    this.until.setCustomValidity(same ? "another time than the first is needed" : "");
  }

  show(hours) {
    this.always.checked = hours === "always";
    [this.from.value, this.until.value] = this.always.checked ? ["22:00", "06:00"] : hours.split("-");
    this.enable();
  }

  get typed() {
    return this.always.checked ? "always" : `${this.from.value}-${this.until.value}`;
  }
}

/** The view. What the form does not know of the settings is sent back as it came. */
export class Settings {
  constructor(frame) {
    this.frame = frame;
    this.fields = { ratio: at("ratio"), month: at("month"), object: at("object"), uplink: at("uplink") };
    this.disk = { cache: at("cache"), free: at("free") };
    this.hours = { share: new Hours(at("share-hours")), download: new Hours(at("download-hours")) };
    this.checks = { metered: at("metered"), battery: at("battery"), vpn: at("vpn") };
    at("settings-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
  }

  /** Fills the form in when it is opened, not while somebody types. */
  show({ settings, sharing }, entered) {
    if (!entered) return;
    this.rules = settings.share;
    const { limits, pause, disk } = this.rules;
    this.fields.ratio.value = limits.ratio;
    this.fields.month.value = limits["month-bytes"] / GIGABYTE;
    this.fields.object.value = limits["object-bytes"] / GIGABYTE;
    this.fields.uplink.value = this.rules["uplink-percent"];
    this.disk.cache.value = disk["cache-bytes"] / GIGABYTE;
    this.disk.free.value = disk["free-bytes"] / GIGABYTE;
    this.hours.share.show(this.rules.hours);
    this.hours.download.show(settings["download-hours"]);
    for (const [name, box] of Object.entries(this.checks)) box.checked = pause[name];
    const contact = sharing.policy.contact ? ` (${sharing.policy.contact})` : "";
    put(at("settings-file"), `Kept in ${settings.file}. What this machine’s administrator${contact} sets holds in any case.`);
    put(at("settings-fault"), "");
  }

  /** Whether all that was typed makes sense; else the first field that does not is shown. */
  isSound() {
    const hours = Object.values(this.hours).flatMap(({ from, until }) => [from, until]);
    const fields = [...Object.values(this.fields), ...hours, ...Object.values(this.disk)];
    const wrong = fields.filter((field) => !field.checkValidity());
    for (const field of fields) field.setAttribute("aria-invalid", wrong.includes(field));
    const [first] = wrong;
    put(at("settings-fault"), first ? `${first.labels[0].textContent}: ${first.validationMessage}` : "");
    first?.focus();
    return !first;
  }

  typed() {
    const size = (field) => Math.round(Number(field.value) * GIGABYTE);
    const { ratio, month, object, uplink } = this.fields;
    const checks = Object.entries(this.checks).map(([name, box]) => [name, box.checked]);
    const { cache, free } = this.disk;
    const share = {
      ...this.rules,
      limits: { ...this.rules.limits, ratio: Number(ratio.value), "month-bytes": size(month), "object-bytes": size(object) },
      "uplink-percent": Number(uplink.value),
      pause: { ...this.rules.pause, ...Object.fromEntries(checks) },
      disk: { ...this.rules.disk, "cache-bytes": size(cache), "free-bytes": size(free) },
      hours: this.hours.share.typed,
    };
    return { share, "download-hours": this.hours.download.typed };
  }

  async save() {
    if (!this.isSound()) return;
    const answer = await this.frame.act("The settings are saved", "PUT", "/v1/settings", this.typed());
    if (!answer) return;
    this.rules = answer.share;
    put(at("settings-file"), `Saved in ${answer.file}. They hold from now on.`);
  }
}
