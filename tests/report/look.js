// What an eye would find, as functions that return complaints: contrast, clipped and overlapping texts, names for controls.

const shown = (node) => {
  const box = node.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && getComputedStyle(node).visibility !== "hidden";
};
const nameOf = (node) => node.tagName.toLowerCase() + "." + (node.getAttribute("class") || "").trim().replace(/\s+/g, ".") + " " + JSON.stringify(node.textContent.trim().slice(0, 40));

const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
/** [r, g, b, alpha] of any CSS color. */
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function background(node) {
  for (let at = node; at; at = at.parentElement) {
    const color = rgba(getComputedStyle(at).backgroundColor);
    if (color[3] > 0.99) return color;
  }
  return [255, 255, 255, 1];
}

/** Texts below a contrast of 4.5 (WCAG 2.2, AA). */
function weakTexts() {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || /^(SCRIPT|STYLE|OPTION)$/.test(node.tagName) || !shown(node)) continue;
    const style = getComputedStyle(node);
    const [a, b] = [luminance(rgba(node.ownerSVGElement ? style.fill : style.color)), luminance(background(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(contrast.toFixed(2) + " " + nameOf(node));
  }
  return [...new Set(found)];
}

/** Labels of pictures that cover each other, and texts that leave the window. */
function collisions() {
  const found = [];
  for (const box of document.querySelectorAll(".lanes, .losses, .spreads, .plot-box, .scatter, .bars, .tiles, .controls, .chips, header.top nav")) {
    const labels = [...box.querySelectorAll("span, text, .name, .num, .n, .label, .value, .note, button, select, a")]
      .filter((node) => shown(node) && node.textContent.trim() && ![...node.children].some((c) => c.matches("span, text, .name, .num, button, select, a")))
      .filter((node) => !node.closest("details:not([open]) > :not(summary)"))
      .map((node) => [node, node.getBoundingClientRect()]);
    labels.forEach(([a, x], n) => labels.slice(n + 1).forEach(([b, y]) => {
      const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left), tall = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
      if (wide > 1.5 && tall > 3 && !a.contains(b) && !b.contains(a)) found.push(nameOf(a) + " covers " + nameOf(b));
    }));
  }
  return found;
}

/** Texts that are cut off: outside of the window, or inside a box that hides or scrolls what does not fit. `scrollers` = allowed. */
function clipped(scrollers) {
  const found = [], wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide + 1) found.push("the page is wider than the window");
  for (const node of document.querySelectorAll("body *")) {
    if (!shown(node) || /^(SCRIPT|STYLE|OPTION)$/.test(node.tagName) || node.ownerSVGElement) continue;
    const style = getComputedStyle(node), inside = scrollers && node.closest(scrollers);
    if (inside) continue;
    if (/hidden|auto|scroll|clip/.test(style.overflowX + style.overflowY) && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 2) && node.clientWidth) {
      found.push("cut: " + nameOf(node));
    }
    const box = node.getBoundingClientRect();
    if (node.children.length === 0 && node.textContent.trim() && (box.right > wide + 1 || box.left < -1)) found.push("outside: " + nameOf(node));
  }
  return found;
}

/** Controls without a name, regions that scroll but can't be reached by keyboard, doubled ids, images without words. */
function nameless() {
  const found = [];
  for (const node of document.querySelectorAll("button, select, input, a, summary")) {
    const label = node.getAttribute("aria-label") || node.textContent.trim() || (node.labels && node.labels.length && node.labels[0].textContent.trim());
    if (shown(node) && !label) found.push("no name: " + nameOf(node));
  }
  for (const node of document.querySelectorAll("svg[role=img], svg [role=img]")) if (!node.getAttribute("aria-label")) found.push("no words: " + nameOf(node));
  for (const node of document.querySelectorAll("body *")) {
    const style = getComputedStyle(node);
    if (shown(node) && /auto|scroll/.test(style.overflowX + style.overflowY) && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1)
      && node.tabIndex < 0 && !node.querySelector("a, button, input, select, [tabindex='0']")) found.push("no keyboard: " + nameOf(node));
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  ids.filter((id, n) => ids.indexOf(id) !== n).forEach((id) => found.push("two of #" + id));
  return found;
}
