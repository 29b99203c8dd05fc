// One prompt with the answers of the chosen models: JSON as a table of fields, everything else marked word by word.

/** The elements of one case. `models` = which columns, by their index. */
function caseView(store, row, models) {
  const prompt = el("div", { class: "asked" });
  if (row.y !== undefined) prompt.append(el("div", { class: "turn" }, el("b", {}, "system"), textBlock(row.y, "said")));
  if (row.q && row.q.turns) {
    for (const [role, text] of row.q.turns) prompt.append(el("div", { class: "turn" }, el("b", {}, role), textBlock(text, "said")));
  } else prompt.append(textBlock(row.q, "said"));
  const target = targetOf(store, row);
  const table = row.w && parseObject(target) ? fieldTable(store, row, models, leaves(parseObject(target))) : null;
  return [prompt, table || columns(store, row, models, target), ...notes(store, row)];
}

const TARGET_NAMES = { reference: "reference", teacher: "teacher" };

/** Fields down, models across; wrong cells are marked by color and by a cross. */
function fieldTable(store, row, models, target) {
  const answers = models.map((m) => parseObject(textOf(row.a[m]))).map((answer) => answer && leaves(answer));
  const skip = store.data.target === "teacher" ? store.index.teacher : -1;
  const shown = models.map((m, n) => [m, answers[n]]).filter(([m]) => m !== skip);
  const fields = [...new Set([target, ...shown.map(([, answer]) => answer || {})].flatMap(Object.keys))];
  const head = el("tr", {}, el("th", { scope: "col" }, "field"), el("th", { scope: "col" }, TARGET_NAMES[store.data.target]));
  shown.forEach(([m]) => head.append(el("th", { scope: "col" }, store.data.models[m].label, " ", scoreBadge(store, row, m))));
  const body = fields.map((field) => {
    const line = el("tr", {}, el("th", { scope: "row" }, field), valueCell(target, field, false));
    shown.forEach(([m, answer]) => {
      const wrong = answer && row.w[m] && row.w[m].includes(field);
      line.append(answer ? valueCell(answer, field, wrong) : el("td", { class: "wrong" }, el("i", {}, row.a[m] === null ? "no answer" : "not a JSON object")));
    });
    return line;
  });
  const table = el("table", { class: "fields" }, el("thead", {}, head), el("tbody", {}, ...body));
  const raw = shown.filter(([m, answer]) => !answer && row.a[m] !== null).map(([m]) => answerCard(store, row, m, null));
  const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields of the answers" }, table);
  return el("div", {}, box, raw.length ? el("div", { class: "answers" }, ...raw) : null);
}

function valueCell(object, field, wrong) {
  const cell = el("td", { class: wrong ? "wrong" : null, dir: "auto" });
  if (wrong) cell.append(el("span", { class: "cross", role: "img", "aria-label": "wrong" }, "✗ "));
  if (!(field in object)) cell.append(el("i", {}, "absent"));
  else {
    const value = object[field];
    if (value === "") cell.append(el("span", { class: "unseen" }, "empty"));
    else appendText(cell, typeof value === "string" ? value : JSON.stringify(value));
  }
  return cell;
}

function columns(store, row, models, target) {
  const cards = [];
  if (store.data.target === "reference" && row.r !== null) {
    cards.push(el("div", { class: "answer-card" }, el("h4", {}, "reference"), textBlock(row.r, "said")));
  }
  for (const m of models) {
    const own = store.data.target === "teacher" && m === store.index.teacher;
    cards.push(answerCard(store, row, m, own || !target ? null : target));
  }
  return el("div", { class: "answers" }, ...cards);
}

function answerCard(store, row, m, target) {
  const card = el("div", { class: "answer-card" }, el("h4", {}, store.data.models[m].label, " ", scoreBadge(store, row, m)));
  if (row.a[m] === null) { card.append(el("p", { class: "soft" }, "no answer")); return card; }
  let note = "";
  card.append(textBlock(row.a[m], "said", target === null ? null : (block) => {
    note = markAnswer(block, textOf(row.a[m]), target, promptText(row));
  }));
  if (note) card.append(el("p", { class: "soft small" }, note));
  const flags = row.c[m].map((check) => store.data.checks[check].label);
  if (flags.length) card.append(el("p", { class: "flags" }, flags.join(", ")));
  return card;
}

function scoreBadge(store, row, m) {
  const right = isRight(store, row, m);
  if (right === null) return null;
  return el("span", { class: "badge " + (right ? "right" : "wrong") }, (right ? "✓ " : "✗ ") + scoreText(store, row.s[m]));
}

function notes(store, row) {
  const found = [];
  if (row.m) found.push(el("p", { class: "person" }, el("b", {}, row.m[0] ? "A person kept this. " : "A person dropped this. "), row.m[1]));
  for (const [model, metric, value, words] of row.j || []) {
    found.push(el("div", { class: "reason" }, el("b", {}, metric + ", " + model + ": " + value), textBlock(words, "said")));
  }
  return found;
}
