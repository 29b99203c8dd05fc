// The explorer's data: unpacked once; which rows are shown, in which order. No elements of the page are touched here.

/** Unpacks the page's data; throws where the browser can't. */
async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** The rows with what filters ask for: right or wrong per model, the text to search. */
function makeStore(data) {
  const index = Object.fromEntries(data.models.map((model, n) => [model.name, n]));
  const other = data.target === "reference" ? index.teacher : index.ceiling;
  const store = {
    data, index, other, rows: data.rows, shown: [],
    state: { text: "", outcome: "all", checks: [], facets: {}, extra: null, subject: index[data.student], sort: "worst" },
  };
  store.rows.forEach((row, n) => { row.n = n; row.find = searchable(row).toLowerCase(); });
  return store;
}

function promptText(row) {
  return row.q && row.q.turns ? row.q.turns.map(([role, text]) => role + ": " + textOf(text)).join("\n") : textOf(row.q);
}

function searchable(row) {
  return [row.i, promptText(row), textOf(row.r), ...row.a.map(textOf)].join("\n");
}

/** true | false | null where the metric doesn't apply. */
function isRight(store, row, model) {
  const score = model === undefined ? null : row.s[model];
  return score === null || score === undefined ? null : score >= store.data.goal - 1e-9;
}

const OUTCOMES = {
  all: () => true,
  wrong: (mine) => mine === false,
  only_student: (mine, other) => mine === false && other === true,
  both: (mine, other) => mine === false && other === false,
  only_other: (mine, other) => mine === true && other === false,
  right: (mine) => mine === true,
};

/** Outcomes that can occur: those with the other model only where the metric measures it. */
function outcomes(store) {
  const names = Object.keys(OUTCOMES);
  return store.other === undefined ? names.filter((name) => !/other|both|only/.test(name)) : names;
}

function fitsOutcome(store, row, outcome) {
  return OUTCOMES[outcome](isRight(store, row, store.state.subject), isRight(store, row, store.other));
}

/** The JSON object that a text is, a code fence around it allowed; null for everything else. */
function parseObject(text) {
  const fence = /^\s*```[a-zA-Z]*\s*\n([\s\S]*?)\n?\s*```\s*$/.exec(text);
  try {
    const value = JSON.parse(fence ? fence[1] : text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch (error) { return null; }
}

/** Path -> value of everything in an object that is not an object with fields itself, as distil/fields.py compares it. */
function leaves(value, prefix = "", found = {}) {
  for (const [key, item] of Object.entries(value)) {
    if (item && typeof item === "object" && !Array.isArray(item) && Object.keys(item).length) leaves(item, prefix + key + ".", found);
    else found[prefix + key] = item;
  }
  return found;
}

/** What an answer was scored against. */
function targetOf(store, row) {
  return store.data.target === "reference" ? textOf(row.r) : textOf(row.a[store.index.teacher]);
}

/** {kind: field, field} | {kind: confusion, number}: filters that other sections set. */
function fitsExtra(store, row, extra) {
  if (!extra) return true;
  if (extra.kind === "confusion") return !!row.k && row.k.includes(extra.number);
  const wrong = row.w && row.w[store.state.subject];
  return !!wrong && wrong.some((field) => field === extra.field || field === null);
}

function fits(store, row, skip) {
  const state = store.state;
  return (skip === "outcome" || fitsOutcome(store, row, state.outcome))
    && (skip === "checks" || state.checks.every((check) => row.c[state.subject].includes(check)))
    && Object.entries(state.facets).every(([facet, value]) => row.f[facet] === value)
    && fitsExtra(store, row, state.extra)
    && (!state.text || row.find.includes(state.text));
}

const last = (value, missing) => (value === null || value === undefined ? missing : value);
const SORTS = {
  worst: ["worst first", (s) => (a, b) => last(a.s[s.state.subject], 2) - last(b.s[s.state.subject], 2)],
  gap: ["furthest below the teacher", (s) => (a, b) => gap(s, a) - gap(s, b)],
  best: ["best first", (s) => (a, b) => last(b.s[s.state.subject], -1) - last(a.s[s.state.subject], -1)],
  longest: ["longest prompt first", () => (a, b) => promptText(b).length - promptText(a).length],
  file: ["as in the file", () => () => 0],
};

function gap(store, row) {
  const mine = row.s[store.state.subject], other = store.other === undefined ? null : row.s[store.other];
  return mine === null || other === null ? 2 : mine - other;
}

/** Applies filters and order: sets store.shown. */
function refresh(store) {
  store.shown = store.rows.filter((row) => fits(store, row));
  const order = SORTS[store.state.sort][1](store);
  store.shown.sort((a, b) => order(a, b) || a.n - b.n);
}

/** How many rows an outcome or a check would show beside the other filters. */
function countOutcome(store, outcome) {
  return store.rows.filter((row) => fits(store, row, "outcome") && fitsOutcome(store, row, outcome)).length;
}
function countCheck(store, check) {
  return store.rows.filter((row) => fits(store, row, "checks") && row.c[store.state.subject].includes(check)).length;
}

/** A score as people read it. */
function scoreText(store, score) {
  if (score === null || score === undefined) return "–";
  return store.data.metric.share ? Math.round(100 * score) + "%" : score.toFixed(3);
}
