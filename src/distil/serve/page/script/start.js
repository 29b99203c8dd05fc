// Brings the page to life: asks every two seconds while somebody looks. data-ready says that the first answer is drawn.

const EVERY_MS = 2000;
const panes = document.getElementById("panes"), status = document.getElementById("status");
const board = document.getElementById("board"), form = document.getElementById("key-form");
const narrow = () => matchMedia("(max-width: 820px)").matches;
const trouble = (error) => { status.textContent = error.message; status.classList.add("trouble"); };
const cases = makeCases(document.getElementById("list"), document.getElementById("reader"), () => { if (narrow()) panes.classList.add("reading"); }, trouble);
let started = null, last = 0, waiting = 0;

async function look() {
  clearTimeout(waiting);
  try {
    let state = await ask("/live.json?after=" + last);
    if (started !== null && state.started !== started) { cases.clear(); last = 0; state = await ask("/live.json?after=0"); } // it was restarted
    started = state.started;
    last = state.last;
    form.hidden = true;
    board.hidden = false;
    drawFigures(state);
    cases.take(state.fallbacks, state.marks);
    status.textContent = "Counted since the gateway started. Up to date at " + new Date(1000 * state.now).toLocaleTimeString("en-GB") + ".";
    status.classList.remove("trouble");
  } catch (error) {
    if (error instanceof NeedsKey) { askForKey(error); return; }
    trouble(error);
  } finally { document.documentElement.dataset.ready = "yes"; }
  if (!document.hidden) waiting = setTimeout(look, EVERY_MS);
}

function askForKey(error) {
  board.hidden = true;
  form.hidden = false;
  status.textContent = "";
  document.getElementById("key-trouble").textContent = key ? error.message : "";
  document.getElementById("key").focus();
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(document.getElementById("key").value.trim());
  document.getElementById("key").value = "";
  look();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && form.hidden) look(); });

const KEYS = {
  j: () => cases.move(1), ArrowDown: () => cases.move(1), k: () => cases.move(-1), ArrowUp: () => cases.move(-1),
  g: () => cases.mark("good"), b: () => cases.mark("bad"), Escape: () => panes.classList.remove("reading"),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  if (event.key.startsWith("Arrow") && !panes.contains(event.target)) return; // they scroll the page
  const action = KEYS[event.key];
  if (!action || board.hidden) return;
  event.preventDefault();
  action();
});
startTheme();
look();
