"""What is looked at in the page itself, by scripts that run in it and by the browser's accessibility
tree: names, landmarks, contrast, width; and by axe-core."""
import importlib.util
from pathlib import Path

# Roles that mean nothing to a listener without a name.
NAMED = {"button", "link", "textbox", "checkbox", "radio", "combobox", "spinbutton", "image", "img",
         "progressbar", "dialog", "navigation", "region"}
LANDMARKS = {"banner", "navigation", "main", "contentinfo"}

# WCAG 2.2, 1.4.3: contrast of text, by relative luminance; large text may have less.
CONTRAST = """() => {
  const parse = (text) => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const low = [];
  let looked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".unseen, svg, option, noscript")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [luminance(parse(style.color).rgb), luminance(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const least = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    looked += 1;
    if (ratio < least) low.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { looked, low };
}"""

# Elements that stick out of the page to the right.
TOO_WIDE = """() => {
  const page = document.documentElement;
  const out = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() && !element.closest(".unseen, .skip") &&
    element.getBoundingClientRect().right > page.clientWidth + 0.5);
  return { page: page.clientWidth, content: page.scrollWidth, out: out.slice(0, 5).map((e) => e.outerHTML.slice(0, 80)) };
}"""

FOCUS_RING = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""


def accessibility(page):
    """The browser's accessibility tree, without what it ignores: (role, name) of each node."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [(node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes if not node["ignored"] and "role" in node]


def axe():
    """axe-core, the script; None where it could not be installed."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        return None
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


def violations(page, script):
    """What axe-core finds wrong with the page as it is shown: rules, and where they are broken."""
    page.evaluate(script)
    found = page.evaluate("() => axe.run(document, { preload: false })")
    assert len(found["passes"]) > 10, "it looked at nothing"
    return [f"{rule['id']}: {rule['help']}: {node['target']}"
            for rule in found["violations"] for node in rule["nodes"]]


def nameless(tree):
    """Roles of nodes that have no name and need one."""
    return [role for role, name in tree if role in NAMED and not name.strip()]
