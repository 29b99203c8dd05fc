// Connects the explorer's controls, list and reader: filters, keyboard, links to one prompt.

async function startExplorer() {
  const source = document.getElementById("payload");
  if (!source) return;
  const box = document.getElementById("explorer");
  let store;
  try { store = makeStore(await unpack(source.textContent.trim())); }
  catch (error) { document.getElementById("no-explorer").hidden = false; return; }
  source.remove();
  box.hidden = false;
  document.getElementById("no-explorer").hidden = true;
  const get = (id) => document.getElementById(id);
  const visible = new Set(store.data.models.map((model, n) => n).filter((n) => n < 5 && store.data.models[n].kind !== "base" && store.data.models[n].kind !== "ceiling"));
  const reader = get("reader");
  let current = null;

  const read = (row) => {
    current = row;
    reader.replaceChildren();
    if (!row) { reader.append(el("p", { class: "soft" }, "No prompt fits these filters.")); return; }
    const tags = row.f.map((value, n) => (value === null ? null : store.data.facets[n].field + ": " + store.data.facets[n].values[value])).filter(Boolean);
    const link = el("a", { href: "#p=" + row.i, class: "id" }, row.i);
    const back = el("button", { type: "button", class: "back" }, "back to the list");
    back.addEventListener("click", () => { box.classList.remove("reading"); get("list").focus(); });
    reader.append(el("div", { class: "about" }, back, link, ...tags.map((tag) => el("span", { class: "tag" }, tag))),
      ...caseView(store, row, [...visible].sort((a, b) => a - b)));
    reader.scrollTop = 0;
  };
  const list = makeList(store, get("list"), read);
  const update = (keep) => {
    refresh(store);
    drawControls(store, update);
    get("list").scrollTop = keep ? get("list").scrollTop : 0;
    const at = current ? store.shown.indexOf(current) : -1;
    list.choose(at < 0 ? 0 : at, at >= 0);
  };

  buildControls(store, visible, update, () => read(current));
  update();
  const openLink = () => {
    const id = /^#p=(.+)$/.exec(location.hash);
    if (!id) return;
    const row = store.rows.find((r) => r.i === decodeURIComponent(id[1]));
    if (!row) { get("status").textContent = "There is no prompt " + decodeURIComponent(id[1]) + " in this evaluation."; return; }
    clearFilters(store);
    current = row;
    update();
    box.classList.add("reading");
    box.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", openLink);
  openLink();
  listenToKeys(box, list, store, update);
  get("list").addEventListener("click", () => box.classList.add("reading"));
  document.addEventListener("click", (event) => {
    const source_ = event.target.closest("[data-filter]");
    if (!source_) return;
    clearFilters(store);
    applyFilter(store, JSON.parse(source_.dataset.filter));
    current = null;
    update();
    box.classList.remove("reading");
    box.scrollIntoView({ block: "start" });
    get("list").focus({ preventScroll: true });
  });
  paperCases(store);
}

function clearFilters(store) {
  Object.assign(store.state, { text: "", outcome: "all", checks: [], facets: {}, extra: null });
  document.getElementById("find").value = "";
}

/** A filter from another section, about the student of the verdict: {kind: field | confusion} | {facet, value} | {check}. */
function applyFilter(store, filter) {
  store.state.subject = store.index[store.data.student];
  if (filter.facet !== undefined) {
    const n = store.data.facets.findIndex((facet) => facet.field === filter.facet);
    const value = n < 0 ? -1 : store.data.facets[n].values.indexOf(filter.value);
    if (value >= 0) store.state.facets = { [n]: value };
  } else if (filter.check !== undefined) {
    const n = store.data.checks.findIndex((check) => check.name === filter.check);
    if (n >= 0) store.state.checks = [n];
  } else store.state.extra = filter;
}

/** Keys work while the focus is in the explorer, so that nobody presses one by accident (WCAG 2.1.4). */
function listenToKeys(box, list, store, update) {
  const find = document.getElementById("find"), help = document.getElementById("keys");
  const act = {
    j: () => list.choose(list.at + 1), ArrowDown: () => list.choose(list.at + 1),
    k: () => list.choose(list.at - 1), ArrowUp: () => list.choose(list.at - 1),
    Home: () => list.choose(0), End: () => list.choose(store.shown.length - 1),
    PageDown: () => list.choose(list.at + 8), PageUp: () => list.choose(list.at - 8),
    Enter: () => { box.classList.add("reading"); document.getElementById("reader").focus({ preventScroll: true }); },
    "/": () => { find.focus(); find.select(); },
    "?": () => { help.open = !help.open; },
    Escape: () => {
      if (box.classList.contains("reading") || document.activeElement.id === "reader") {
        box.classList.remove("reading");
        document.getElementById("list").focus({ preventScroll: true });
      } else { clearFilters(store); update(true); }
    },
  };
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    const pressing = event.target.matches("button, a, summary");
    if (typing && event.key === "Escape") { event.target.blur(); document.getElementById("list").focus({ preventScroll: true }); return; }
    if (typing && event.target.id === "find" && event.key === "Enter") { document.getElementById("list").focus({ preventScroll: true }); return; }
    const reading = event.target.id === "reader" || event.target.closest("#reader");
    if (typing || !(event.key in act) || (pressing && event.key === "Enter")) return;
    if (reading && /^(Arrow|Page|Home|End)/.test(event.key)) return;
    event.preventDefault();
    act[event.key]();
  });
}

/** On paper: the worst answers, because a list that scrolls can't be printed. */
function paperCases(store) {
  const place = document.getElementById("paper-cases");
  const models = [store.index.teacher, store.state.subject].filter((m) => m !== undefined);
  const wrong = store.rows.filter((row) => isRight(store, row, store.state.subject) === false);
  const order = SORTS.worst[1](store);
  wrong.sort((a, b) => order(a, b) || a.n - b.n).slice(0, 3).forEach((row) => {
    place.append(el("div", { class: "case" }, ...caseView(store, shortened(row, 700), models)));
  });
}

/** A row whose texts are short enough for paper. */
function shortened(row, most) {
  const cut = (value) => {
    const text = textOf(value);
    return value === null || text.length <= most ? value : [text.slice(0, most), omitted(value) + text.length - most];
  };
  const q = row.q && row.q.turns ? { turns: row.q.turns.slice(-2).map(([role, text]) => [role, cut(text)]) } : cut(row.q);
  return { ...row, q, y: undefined, r: cut(row.r), a: row.a.map((value, n) => (row.w && row.w[n] && row.w[n][0] !== null ? value : cut(value))), j: undefined };
}
