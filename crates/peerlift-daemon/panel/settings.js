// The view of settings: how much may be sent, and when uploads rest.

import { at, put } from "/parts.js";

const GIGABYTE = 1e9;

/** The view. What the form does not know of the settings is sent back as it came. */
export class Settings {
  constructor(frame) {
    this.frame = frame;
    this.fields = { ratio: at("ratio"), month: at("month"), object: at("object"), uplink: at("uplink") };
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
    const { limits, pause } = this.rules;
    this.fields.ratio.value = limits.ratio;
    this.fields.month.value = limits["month-bytes"] / GIGABYTE;
    this.fields.object.value = limits["object-bytes"] / GIGABYTE;
    this.fields.uplink.value = this.rules["uplink-percent"];
    for (const [name, box] of Object.entries(this.checks)) box.checked = pause[name];
    const contact = sharing.policy.contact ? ` (${sharing.policy.contact})` : "";
    put(at("settings-file"), `Kept in ${settings.file}. What this machine’s administrator${contact} sets holds in any case.`);
    put(at("settings-fault"), "");
  }

  /** Whether all that was typed makes sense; else the first field that does not is shown. */
  isSound() {
    const fields = Object.values(this.fields), wrong = fields.filter((field) => !field.checkValidity());
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
    return {
      ...this.rules,
      limits: { ...this.rules.limits, ratio: Number(ratio.value), "month-bytes": size(month), "object-bytes": size(object) },
      "uplink-percent": Number(uplink.value),
      pause: { ...this.rules.pause, ...Object.fromEntries(checks) },
    };
  }

  async save() {
    if (!this.isSound()) return;
    const answer = await this.frame.act("The settings are saved", "PUT", "/v1/settings", this.typed());
    if (!answer) return;
    this.rules = answer.share;
    put(at("settings-file"), `Saved in ${answer.file}. They hold from now on.`);
  }
}
