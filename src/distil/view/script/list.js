// The list of prompts: the server finds, the page holds the windows that were scrolled to.

const ROW_HEIGHT = 62; // as in the report's explorer.css
const WINDOW = 100;

const key = location.hash.slice(1) || sessionStorage.getItem("distil-view") || "";
if (location.hash) { sessionStorage.setItem("distil-view", key); history.replaceState(null, "", location.pathname); }

/** The server's reply as an object; throws an Error with the server's words. */
async function ask(path, body) {
  let reply;
  try {
    reply = await fetch(path, { method: body ? "POST" : "GET", headers: { "x-distil-key": key }, body: body ? JSON.stringify(body) : undefined });
  } catch (error) { throw new Error("The page's server has ended. Run `distil view --page` again."); }
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error || "The server answered " + reply.status + ".");
  return found;
}

function makeList(box, query, onChoose, onFound, onTrouble) {
  const space = el("div", { class: "space" });
  box.append(space);
  const list = { at: -1, total: 0, rows: new Map(), asked: new Set(), round: 0 };

  /** Asks for the window that holds row n, once. */
  async function load(n) {
    const start = Math.floor(n / WINDOW) * WINDOW, round = list.round;
    if (list.asked.has(start)) return;
    list.asked.add(start);
    try {
      const found = await ask("/api/rows?" + new URLSearchParams({ ...query(), offset: start, limit: WINDOW }));
      if (round !== list.round) return; // another search has begun
      found.rows.forEach((row, i) => list.rows.set(start + i, row));
      list.total = found.total;
      onFound(found);
      list.draw();
    } catch (error) { list.asked.delete(start); onTrouble(error); }
  }
  list.reload = async (keep) => {
    list.round++;
    list.asked.clear();
    list.rows.clear();
    if (!keep) box.scrollTop = 0;
    await load(keep ? Math.max(0, list.at) : 0);
    if (list.at >= 0 && !list.rows.has(list.at)) await load(list.at);
    list.choose(keep ? Math.min(list.at, list.total - 1) : 0);
  };
  list.draw = () => {
    space.style.height = list.total * ROW_HEIGHT + "px";
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - 4);
    const end = Math.min(list.total, first + Math.ceil((box.clientHeight || 600) / ROW_HEIGHT) + 9);
    const rows = [];
    for (let n = first; n < end; n++) {
      if (list.rows.has(n)) rows.push(rowOf(list.rows.get(n), n, n === list.at, list.total));
      else load(n);
    }
    space.replaceChildren(...rows);
    if (list.at >= first && list.at < end) box.setAttribute("aria-activedescendant", "row-" + list.at);
    else box.removeAttribute("aria-activedescendant");
  };
  list.choose = async (n) => {
    if (!list.total) { list.at = -1; list.draw(); onChoose(null); return; }
    list.at = Math.max(0, Math.min(list.total - 1, n));
    const top = list.at * ROW_HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + ROW_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_HEIGHT - box.clientHeight;
    await load(list.at);
    list.draw();
    const row = list.rows.get(list.at);
    if (row) onChoose(row.id);
  };
  box.addEventListener("scroll", list.draw, { passive: true });
  space.addEventListener("click", (event) => {
    const row = event.target.closest("[data-n]");
    if (row) list.choose(Number(row.dataset.n));
  });
  return list;
}

function rowOf(row, n, chosen, total) {
  const line = el("div", { class: "line" });
  appendText(line, row.prompt || "(empty prompt)");
  const marks = el("div", { class: "marks" });
  for (const mark of row.marks) marks.append(el("span", { class: "marked" }, mark));
  for (const split of row.split) marks.append(el("span", {}, split));
  for (const name of row.dropped) marks.append(el("span", { class: "dropped" }, name));
  for (const name of row.suspicious) marks.append(el("span", { class: "suspicious" }, name + "?"));
  const node = el("div", {
    class: "row", role: "option", id: "row-" + n, "data-n": n, "aria-selected": String(chosen),
    "aria-posinset": n + 1, "aria-setsize": total,
  }, line, marks);
  node.style.top = n * ROW_HEIGHT + "px";
  return node;
}
