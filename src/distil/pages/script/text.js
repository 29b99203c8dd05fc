// Text from models, people and files: shown as it is, with everything that can't be seen made visible. No HTML is ever parsed.

/** A new element: el("p", {class: "soft"}, "text", child, ...). */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Control characters (without tab and line feed), soft hyphens, zero-width and direction marks, byte order marks, tags.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffc]|[\u{e0000}-\u{e007f}]/gu;
const NAMES = {
  0x00: "NUL", 0x07: "BEL", 0x08: "BS", 0x0b: "VT", 0x0c: "FF", 0x0d: "CR", 0x1b: "ESC", 0x7f: "DEL", 0xad: "soft hyphen",
  0x200b: "zero width space", 0x200c: "zero width non-joiner", 0x200d: "zero width joiner", 0x200e: "left-to-right mark",
  0x200f: "right-to-left mark", 0x202a: "left-to-right embedding", 0x202b: "right-to-left embedding", 0x202c: "end of embedding",
  0x202d: "left-to-right override", 0x202e: "right-to-left override", 0x2060: "word joiner", 0x2066: "left-to-right isolate",
  0x2067: "right-to-left isolate", 0x2068: "first strong isolate", 0x2069: "end of isolate", 0xfeff: "byte order mark",
};

/** Joiners belong between letters of some scripts and inside emoji; there they are part of the writing. */
function belongs(text, at, mark) {
  if (mark !== "\u200c" && mark !== "\u200d") return false;
  const before = [...text.slice(Math.max(0, at - 2), at)].pop() || "", after = text.slice(at + 1, at + 3);
  // Anchored at the start: some versions of V8 miss a pair of surrogates before the end of a text.
  return /^[\p{L}\p{M}\p{Extended_Pictographic}\ufe0f\u{1f3fb}-\u{1f3ff}]/u.test(before) && /^[\p{L}\p{M}\p{Extended_Pictographic}]/u.test(after);
}

/** Adds a text to a node; what can't be seen becomes a small labeled box. */
function appendText(node, text) {
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    const mark = found[0], code = mark.codePointAt(0);
    if (belongs(text, found.index, mark) || (code === 0x0d && text[found.index + 1] === "\n")) continue;
    if (found.index > from) node.append(text.slice(from, found.index));
    const name = "U+" + code.toString(16).toUpperCase().padStart(4, "0");
    node.append(el("span", { class: "unseen", title: name }, NAMES[code] || name));
    from = found.index + mark.length;
  }
  if (from < text.length) node.append(text.slice(from));
}

/** Whether a text lives from its columns: code, tables, drawings, JSON. */
function isCode(text) {
  return /^\s*[{[][\s\S]*[}\]]\s*$/.test(text) || text.includes("```") || (text.match(/^( {2,}|\t)\S/gm) || []).length > 2;
}

/** The text of a value that may be cut: "text" or ["beginning", how many characters are left out]. */
function textOf(value) { return Array.isArray(value) ? value[0] : value || ""; }
function omitted(value) { return Array.isArray(value) ? value[1] : 0; }

/** A block with a text; empty and blank texts say so, cut ones too. `fill` may add it with marks instead. */
function textBlock(value, kind, fill) {
  const text = textOf(value);
  const block = el("div", { class: kind + (isCode(text) ? " code" : ""), dir: "auto" });
  if (text === "") block.append(el("span", { class: "unseen" }, "empty"));
  else if (!text.trim()) { block.append(el("span", { class: "unseen" }, "only white space, " + text.length + " characters")); }
  else if (fill) fill(block);
  else appendText(block, text);
  if (omitted(value)) block.append(el("span", { class: "unseen" }, omitted(value).toLocaleString("en-US") + " more characters are left out on this page"));
  return block;
}
