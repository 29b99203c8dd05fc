// The list of prompts. Only the rows in view exist as elements, so 5,000 prompts scroll like 50.

const ROW_HEIGHT = 62; // as in style/explorer.css

function makeList(store, box, onChoose) {
  const space = el("div", { class: "space" });
  box.append(space);
  const list = { box, space, at: -1 };
  list.draw = () => {
    space.style.height = store.shown.length * ROW_HEIGHT + "px";
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - 4);
    const end = Math.min(store.shown.length, first + Math.ceil((box.clientHeight || 600) / ROW_HEIGHT) + 9);
    const rows = [];
    for (let n = first; n < end; n++) rows.push(rowOf(store, store.shown[n], n, n === list.at));
    space.replaceChildren(...rows);
    if (list.at >= first && list.at < end) box.setAttribute("aria-activedescendant", "row-" + list.at);
    else box.removeAttribute("aria-activedescendant");
  };
  list.choose = (n, reveal) => {
    if (!store.shown.length) { list.at = -1; list.draw(); onChoose(null); return; }
    list.at = Math.max(0, Math.min(store.shown.length - 1, n));
    const top = list.at * ROW_HEIGHT;
    if (reveal !== false && top < box.scrollTop) box.scrollTop = top;
    if (reveal !== false && top + ROW_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_HEIGHT - box.clientHeight;
    list.draw();
    onChoose(store.shown[list.at]);
  };
  box.addEventListener("scroll", list.draw, { passive: true });
  space.addEventListener("click", (event) => {
    const row = event.target.closest("[data-n]");
    if (row) list.choose(Number(row.dataset.n), false);
  });
  return list;
}

function rowOf(store, row, n, chosen) {
  const line = el("div", { class: "line" });
  appendText(line, promptText(row).slice(0, 160).replace(/\s+/g, " ") || "(empty prompt)");
  const marks = el("div", { class: "marks" });
  for (const model of [...new Set([store.state.subject, store.other])].filter((m) => m !== undefined)) {
    const right = isRight(store, row, model);
    marks.append(el("span", { class: right === null ? "na" : right ? "right" : "wrong" },
      (right === null ? "" : right ? "✓ " : "✗ ") + store.data.models[model].label + " " + scoreText(store, row.s[model])));
  }
  for (const check of row.c[store.state.subject]) marks.append(el("span", { class: "check" }, store.data.checks[check].label));
  if (row.m) marks.append(el("span", { class: "check" }, row.m[0] ? "kept by a person" : "dropped by a person"));
  const node = el("div", {
    class: "row", role: "option", id: "row-" + n, "data-n": n, "aria-selected": String(chosen),
    "aria-posinset": n + 1, "aria-setsize": store.shown.length,
  }, line, marks);
  node.style.top = n * ROW_HEIGHT + "px";
  return node;
}
