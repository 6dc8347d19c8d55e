// What views are made of: elements, bars, lists that keep in step. Every text of others is put in as
// text, never as markup, and only where it changed, so that a selection or the focus stays.

export const at = (id) => document.getElementById(id);

/** Makes an element. Attributes that start with `on` are listeners. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const button = (words, press) => el("button", { type: "button", onclick: press }, words);

/** Sets a text where it is another. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows notices of a kind each, where they are others than before. */
export function putNotices(element, notices) {
  const text = JSON.stringify(notices);
  if (element.dataset.shows === text) return;
  element.dataset.shows = text;
  element.replaceChildren(...notices.map(([kind, words]) => el("p", { class: `notice ${kind}` }, words)));
}

/** A bar of parts of a whole, with words for those who do not see it. */
export function bar(label) {
  const element = el("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0,
    "aria-valuemax": 100 });
  return {
    element,
    /** `parts`: [class, percent]. */
    set(parts, words) {
      while (element.children.length < parts.length) element.append(el("span"));
      parts.forEach(([name, width], index) => {
        element.children[index].className = name;
        element.children[index].style.width = `${width}%`;
      });
      element.setAttribute("aria-valuenow", Math.round(parts.reduce((sum, [, width]) => sum + width, 0)));
      element.setAttribute("aria-valuetext", words);
    },
  };
}

/** Keeps a list in step with its items, each with a row (`element`, `update`) that is made once. */
export class Rows {
  constructor(list, key, make) {
    Object.assign(this, { list, key, make, rows: new Map() });
  }

  show(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    items.forEach((item, index) => {
      const key = this.key(item);
      if (!this.rows.has(key)) this.rows.set(key, this.make(item));
      const row = this.rows.get(key);
      const there = this.list.children[index] ?? null;
      if (there !== row.element) this.list.insertBefore(row.element, there);
      row.update(item);
    });
  }
}
