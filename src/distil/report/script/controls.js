// The explorer's search field, chips and menus.

/** What an outcome is called: right and wrong for shares, above and below the goal for a similarity. */
function outcomeLabel(store, name, mine, other) {
  const share = store.data.metric.share, goal = store.data.goal.toFixed(2);
  const wrong = share ? "wrong" : "below " + goal, right = share ? "right" : "at least " + goal;
  const labels = {
    all: "all", wrong: mine + " " + wrong, only_student: "only " + mine + " " + wrong, both: "both " + wrong,
    only_other: "only " + other + " " + wrong, right: mine + " " + right,
  };
  return labels[name];
}

/** What is built once: search, order, whose mistakes, columns, slices. */
function buildControls(store, visible, update, redraw) {
  const find = document.getElementById("find");
  let waiting = 0;
  find.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { store.state.text = find.value.trim().toLowerCase(); update(); }, 120);
  });
  const sort = document.getElementById("sort");
  for (const [name, [label]] of Object.entries(SORTS)) {
    if (name !== "gap" || store.other !== undefined) sort.append(el("option", { value: name }, label));
  }
  sort.addEventListener("change", () => { store.state.sort = sort.value; update(); });
  const menus = document.getElementById("menus");
  const students = store.data.models.map((model, n) => [model, n]).filter(([model]) => model.kind !== "teacher" && model.kind !== "ceiling");
  if (students.length > 1) {
    menus.append(menu("subject", "mistakes of", students.map(([model, n]) => [n, model.label]), store.state.subject, (value) => {
      store.state.subject = Number(value);
      visible.add(store.state.subject);
      document.querySelectorAll("#columns input").forEach((input) => { input.checked = visible.has(Number(input.value)); });
      update();
    }));
  }
  store.data.facets.forEach((facet, n) => {
    const values = [["", "all"], ...facet.values.map((value, at) => [at, value])];
    menus.append(menu("facet-" + n, facet.field, values, "", (value) => {
      if (value === "") delete store.state.facets[n]; else store.state.facets[n] = Number(value);
      update();
    }));
  });
  const columns = document.getElementById("columns");
  store.data.models.forEach((model, n) => {
    const input = el("input", { type: "checkbox", value: n, checked: visible.has(n) });
    input.addEventListener("change", () => { if (input.checked) visible.add(n); else visible.delete(n); redraw(); });
    columns.append(el("label", {}, input, " ", model.label));
  });
}

function menu(id, label, values, chosen, onChange) {
  const select = el("select", { id }, ...values.map(([value, text]) => el("option", { value, selected: String(value) === String(chosen) }, text)));
  select.addEventListener("change", () => onChange(select.value));
  return el("label", { class: "menu" }, el("span", {}, label), select);
}

/** What changes with every filter: counts, chips, the state of the menus. */
function drawControls(store, update) {
  const state = store.state, mine = store.data.models[state.subject].label;
  const other = store.other === undefined ? "" : store.data.models[store.other].label;
  const held = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.chip : null;
  const chips = outcomes(store).map((name) => {
    const count = countOutcome(store, name);
    return chip("o-" + name, outcomeLabel(store, name, mine, other), count, state.outcome === name, () => { state.outcome = name; update(); });
  });
  store.data.checks.forEach((check, n) => {
    const count = countCheck(store, n), on = state.checks.includes(n);
    if (count || on) chips.push(chip("c-" + n, check.label, count, on, () => {
      state.checks = on ? state.checks.filter((c) => c !== n) : [...state.checks, n];
      update();
    }));
  });
  if (state.extra) {
    chips.push(chip("extra", extraLabel(store, state.extra) + " ×", null, true, () => { state.extra = null; update(); }));
  }
  document.getElementById("chips").replaceChildren(...chips);
  if (held) { const again = document.querySelector('[data-chip="' + held + '"]'); if (again) again.focus({ preventScroll: true }); }
  store.data.facets.forEach((facet, n) => {
    const value = state.facets[n];
    document.getElementById("facet-" + n).value = value === undefined ? "" : String(value);
  });
  const subject = document.getElementById("subject");
  if (subject) subject.value = String(state.subject);
  const all = store.rows.length, shown = store.shown.length;
  document.getElementById("status").textContent = shown === all
    ? all.toLocaleString("en-US") + " prompts"
    : shown.toLocaleString("en-US") + " of " + all.toLocaleString("en-US") + " prompts";
}

function extraLabel(store, extra) {
  return extra.kind === "confusion" ? store.data.confusions[extra.number] : extra.field + " wrong";
}

function chip(key, label, count, pressed, onClick) {
  const button = el("button", { type: "button", class: "chip", "aria-pressed": String(pressed), "data-chip": key }, label);
  if (count !== null) button.append(" ", el("span", { class: "count" }, count.toLocaleString("en-US")));
  button.addEventListener("click", onClick);
  return button;
}
