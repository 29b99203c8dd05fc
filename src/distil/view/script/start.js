// Brings the page to life: search, facets, order, keys. data-ready says that the first rows are drawn.

const FACET_NAMES = { dropped: "dropped by", suspicious: "suspicious but kept", edited: "changed by", split: "split", teacher: "teacher", mark: "your marks" };
const state = { search: "", sort: "", wanted: {} };
const panes = document.getElementById("panes"), find = document.getElementById("find"), order = document.getElementById("sort");
const status = document.getElementById("status"), facets = document.getElementById("facets");

const narrow = () => matchMedia("(max-width: 820px)").matches;
const toList = () => panes.classList.remove("reading");
const reader = makeReader(document.getElementById("reader"), toList, () => list.reload(true));
const list = makeList(
  document.getElementById("list"),
  () => ({ search: state.search, sort: state.sort, ...state.wanted }),
  (id) => reader.open(id),
  drawFound,
  (error) => { status.textContent = error.message; status.classList.add("trouble"); },
);
document.getElementById("list").addEventListener("click", () => { if (narrow()) panes.classList.add("reading"); });

function drawFound(found) {
  status.classList.remove("trouble");
  status.textContent = found.total.toLocaleString("en-US") + (found.total === found.all ? "" : " of " + found.all.toLocaleString("en-US")) + " prompts";
  if (!order.options.length) order.append(...["", ...found.signals].map((name) => el("option", { value: name }, name ? "most " + name.replaceAll("_", " ") : "as collected")));
  facets.replaceChildren();
  for (const [facet, counts] of Object.entries(found.facets)) {
    const chips = el("div", { class: "chips", role: "group", "aria-label": FACET_NAMES[facet] });
    for (const [value, count] of Object.entries(counts)) {
      const chip = el("button", { class: "chip", type: "button", "aria-pressed": String(state.wanted[facet] === value) });
      appendText(chip, value + " ");
      chip.append(el("span", { class: "count" }, count.toLocaleString("en-US")));
      chip.addEventListener("click", () => {
        if (state.wanted[facet] === value) delete state.wanted[facet]; else state.wanted[facet] = value;
        list.reload();
      });
      chips.append(chip);
    }
    facets.append(el("span", { class: "name" }, FACET_NAMES[facet]), chips);
  }
}

async function undoLast() {
  try {
    const { undone } = await ask("/api/undo", {});
    status.textContent = undone ? "Taken back: " + undone.mark + " of " + undone.answer_id : "There is no mark to take back.";
    if (undone) { await list.reload(true); if (reader.row) reader.open(reader.row.id); }
  } catch (error) { status.textContent = error.message; }
}

let waiting = 0;
find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { state.search = find.value; list.reload(); }, 150); });
order.addEventListener("change", () => { state.sort = order.value; list.reload(); });
document.getElementById("undo").addEventListener("click", undoLast);

const KEYS = {
  j: () => list.choose(list.at + 1), ArrowDown: () => list.choose(list.at + 1),
  k: () => list.choose(list.at - 1), ArrowUp: () => list.choose(list.at - 1),
  n: () => reader.next(), g: () => reader.mark("good"), b: () => reader.mark("bad"), e: () => reader.edit(),
  u: undoLast, "/": () => find.focus(),
  Enter: () => { if (narrow()) panes.classList.add("reading"); document.getElementById("reader").focus(); },
};
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (reader.cancel()) return;
    if (panes.classList.contains("reading")) { toList(); return; }
    state.search = find.value = "";
    state.wanted = {};
    find.blur();
    list.reload();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, button, summary")) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

startTheme();
list.reload().finally(() => { document.documentElement.dataset.ready = "yes"; });
