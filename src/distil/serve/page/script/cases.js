// The latest requests that the teacher answered: a list, and one of them with both answers.

const KEPT = 200;

function makeCases(list, reader, onOpen, onTrouble) {
  const cases = { known: [], at: null, marks: {} };
  const chosen = () => cases.known.find((each) => each.number === cases.at) || null;

  cases.clear = () => { cases.known = []; cases.at = null; };
  /** Takes new ones, oldest first, and all marks; what is being read stays. */
  cases.take = (more, marks) => {
    const fresh = more.length > 0 || JSON.stringify(marks) !== JSON.stringify(cases.marks);
    cases.known = [...more.slice().reverse(), ...cases.known].slice(0, KEPT);
    cases.marks = marks;
    if (chosen() === null) cases.at = cases.known.length ? cases.known[0].number : null;
    if (fresh || !list.childElementCount) draw();
  };
  cases.move = (step) => {
    const now = cases.known.findIndex((each) => each.number === cases.at);
    const next = cases.known[Math.max(0, Math.min(cases.known.length - 1, now + step))];
    if (next) choose(next.number);
  };
  cases.mark = async (word) => {
    const one = chosen();
    if (!one || !one.answer_id) return;
    const same = cases.marks[one.answer_id] === word;
    try { cases.take([], (await ask("/live/marks", { answer_id: one.answer_id, mark: same ? "none" : word })).marks); } catch (error) { onTrouble(error); }
  };

  function choose(number) {
    cases.at = number;
    reader.scrollTop = 0;
    draw();
    const row = list.querySelector("[aria-selected='true']");
    if (row) row.scrollIntoView({ block: "nearest" });
  }
  function draw() {
    if (!cases.known.length) { list.replaceChildren(el("p", { class: "soft none" }, "None yet.")); reader.replaceChildren(); return; }
    const top = list.scrollTop;
    list.replaceChildren(...cases.known.map(row));
    list.scrollTop = top;
    const one = chosen();
    if (reader.dataset.shown !== one.number + (cases.marks[one.answer_id] || "")) {
      const from = reader.scrollTop;
      reader.replaceChildren(...wholeCase(one));
      reader.scrollTop = from;
      reader.dataset.shown = one.number + (cases.marks[one.answer_id] || "");
    }
  }
  function row(one) {
    const asked = one.turns.filter(([role]) => role === "user").pop() || one.turns[one.turns.length - 1] || ["", ["", 0]];
    const line = el("div", { class: "line" });
    appendText(line, textOf(asked[1]).replace(/\s+/g, " ").slice(0, 160) || "(empty)");
    const marks = el("div", { class: "marks" }, el("span", {}, new Date(1000 * one.at).toLocaleTimeString("en-GB")), el("span", {}, reasonOf(one.reason)));
    if (cases.marks[one.answer_id]) marks.prepend(el("span", { class: cases.marks[one.answer_id] === "bad" ? "wrong" : "right" }, cases.marks[one.answer_id]));
    const node = el("div", { class: "row", role: "option", id: "case-" + one.number, "aria-selected": String(one.number === cases.at) }, line, marks);
    node.addEventListener("click", () => { choose(one.number); onOpen(); });
    return node;
  }
  function wholeCase(one) {
    const back = el("button", { class: "back", type: "button" }, "back to the list");
    back.addEventListener("click", () => document.getElementById("panes").classList.remove("reading"));
    const about = el("div", { class: "about" }, back, el("span", { class: "id" }), el("span", { class: "tag" }, reasonOf(one.reason)));
    appendText(about.querySelector(".id"), one.id);
    if (one.confidence !== null) about.append(el("span", {}, "confidence " + one.confidence.toFixed(4)));
    about.append(el("span", {}, lasting(one.seconds)), el("span", {}, one.usd ? dollars(one.usd) : "answer from the ledger, $0"));
    const asked = el("div", { class: "asked" });
    if (one.left_out) asked.append(el("p", { class: "small soft" }, one.left_out + " earlier turns are left out"));
    for (const [role, text] of one.turns) {
      const turn = el("div", { class: "turn" }, one.turns.length > 1 ? el("b", {}, role) : null);
      turn.append(textBlock(text, "said"));
      asked.append(turn);
    }
    return [about, asked, el("div", { class: "answers" }, card("student", one.student, one.teacher), card("teacher", one.teacher, null, one))];
  }
  function card(who, reply, other, one) {
    const node = el("section", { class: "answer-card" + (one ? " chosen" : "") }, el("div", { class: "who" }, el("b", {}, who)));
    if (!reply) { node.append(el("p", { class: "soft small" }, "was not asked, or could not answer")); return node; }
    if (one && one.answer_id) node.append(judgmentButtons(cases.marks[one.answer_id] || "none", { good: "good", bad: "bad" }, cases.mark));
    const text = textOf(reply.text), compared = other && text.trim() && textOf(other.text).trim() && !omitted(reply.text) && !omitted(other.text);
    if (text || !reply.calls.length) node.append(textBlock(reply.text, "said", compared ? (block) => markAnswer(block, text, textOf(other.text), "") : undefined));
    for (const call of reply.calls) node.append(textBlock(call, "said code"));
    if (!["stop", "end_turn", "tool_calls"].includes(reply.finish)) { const how = el("p", { class: "why" }, "ended: "); appendText(how, reply.finish); node.append(how); }
    return node;
  }
  return cases;
}
