// One prompt with its answers side by side, what is known about each, and the person's marks.

function makeReader(box, onBack, onChanged) {
  const reader = { row: null, at: 0, editing: null };
  const answers = () => (reader.row ? reader.row.all_answers : []);
  const trouble = (error) => {
    const old = box.querySelector(".trouble");
    if (old) old.remove();
    box.prepend(el("p", { class: "trouble", role: "alert" }, error.message));
  };

  reader.show = (row) => {
    if (!reader.row || !row || reader.row.id !== row.id) { reader.at = 0; reader.editing = null; box.scrollTop = 0; }
    reader.row = row;
    if (reader.editing === null) draw(); // a reply that comes late must not take away what is being typed
  };
  reader.open = async (id) => {
    if (id === null) { reader.row = reader.editing = null; draw(); return; }
    try { const row = await ask("/api/rows/" + encodeURIComponent(id)); reader.show(row); } catch (error) { trouble(error); }
  };
  reader.next = () => { if (answers().length) { reader.at = (reader.at + 1) % answers().length; reader.editing = null; draw(); } };
  /** good, bad or edited; the same mark again takes it back. */
  reader.mark = async (mark, text) => {
    const answer = answers()[reader.at];
    if (!answer) return;
    const same = mark !== "edited" && answer.mark && answer.mark.mark === mark;
    try {
      reader.show(await ask("/api/marks", { answer_id: answer.id, mark: same ? "none" : mark, text }));
      onChanged();
    } catch (error) { trouble(error); }
  };
  reader.edit = () => {
    if (!answers().length) return;
    reader.editing = reader.at;
    draw();
    box.querySelector("textarea").focus();
  };
  reader.cancel = () => { const was = reader.editing !== null; reader.editing = null; if (was) draw(); return was; };

  function draw() {
    const row = reader.row;
    if (!row) { box.replaceChildren(el("p", { class: "soft" }, "No prompt fits.")); return; }
    const back = el("button", { class: "back", type: "button" }, "back to the list");
    back.addEventListener("click", onBack);
    const about = el("div", { class: "about" }, back, el("span", { class: "id" }, row.id));
    if (row.group) { const tag = el("span", { class: "tag" }, "group "); appendText(tag, row.group); about.append(tag); }
    const asked = el("div", { class: "asked" });
    for (const [role, text] of row.turns) {
      const turn = el("div", { class: "turn" }, row.turns.length > 1 ? el("b", {}, role) : null);
      turn.append(textBlock(text, "said"));
      asked.append(turn);
    }
    const parts = [about, asked];
    if (row.reference) {
      const wanted = el("div", { class: "mine" }, el("b", {}, "reference"));
      wanted.append(textBlock(row.reference, "said"));
      parts.push(wanted);
    }
    const cards = el("div", { class: "answers" }, ...answers().map(card), ...row.predictions.map(predicted));
    parts.push(answers().length || row.predictions.length ? cards : el("p", { class: "soft" }, "No answer has been collected."));
    box.replaceChildren(...parts);
  }

  function card(answer, n) {
    const who = el("div", { class: "who" }, el("b", {}));
    appendText(who.firstChild, answer.teacher + (answer.sample ? " (sample " + (answer.sample + 1) + ")" : ""));
    if (answer.split) who.append(el("span", { class: "split" }, answer.split));
    if (answer.dropped) who.append(el("span", { class: "dropped" }, answer.dropped[0] === "choose" ? "not chosen" : "dropped: " + answer.dropped[0]));
    if (!["stop", "end_turn"].includes(answer.finish)) { const how = el("span", { class: "split" }); appendText(how, answer.finish); who.append(how); }
    const node = el("section", { class: "answer-card" + (n === reader.at ? " chosen" : ""), "data-answer": answer.id }, who, judgment(answer, n));
    node.addEventListener("click", () => { if (reader.at !== n) { reader.at = n; reader.editing = null; draw(); } });
    if (reader.editing === n) { node.append(editor(answer)); return node; }
    if (answer.reasoning) {
      const thought = el("details", {}, el("summary", {}, "thinking"));
      thought.append(textBlock(answer.reasoning, "said"));
      node.append(thought);
    }
    if (answer.text || !answer.calls.length) node.append(textBlock(answer.text, "said"));
    for (const call of answer.calls) node.append(textBlock(call ? call.name + " " + call.arguments : "a call without a function", "said code"));
    if (answer.mark && answer.mark.text) {
      const mine = el("div", { class: "mine" }, el("b", {}, "edited, and trained on"));
      mine.append(textBlock(answer.mark.text, "said", (block) => { markAnswer(block, answer.mark.text, answer.text, ""); }));
      node.append(mine);
    }
    if (answer.dropped) { const why = el("p", { class: "why" }); appendText(why, answer.dropped[1]); node.append(why); }
    if (answer.edits.length) node.append(el("p", { class: "why" }, "Changed before training: " + answer.edits.join(", ")));
    if (answer.signals.length) node.append(evidence(answer));
    return node;
  }

  function evidence(answer) {
    const box = el("div", { class: "evidence" });
    for (const [name, value, detail] of answer.signals) {
      const tag = el("span", { class: "tag" + (answer.suspicious.includes(name) ? " suspicious" : "") }, name.replaceAll("_", " ") + " " + Number(value.toFixed(2)));
      if (detail) { tag.append(": "); appendText(tag, detail); }
      box.append(tag);
    }
    return box;
  }

  function judgment(answer, n) {
    return judgmentButtons(answer.mark ? answer.mark.mark : "none", { good: "good", bad: "bad", edited: "edit" }, (mark) => {
      reader.at = n;
      if (mark === "edited") reader.edit(); else reader.mark(mark);
    });
  }

  function editor(answer) {
    const area = el("textarea", { "aria-label": "Your answer", dir: "auto" });
    area.value = (answer.mark && answer.mark.text) || answer.text;
    const save = el("button", { class: "chip", type: "button" }, "save"), cancel = el("button", { class: "chip", type: "button" }, "cancel");
    save.addEventListener("click", (event) => {
      event.stopPropagation();
      if (!area.value.trim()) { trouble(new Error("An edited answer needs a text; mark it as bad to drop it.")); return; }
      reader.editing = null;
      reader.mark("edited", area.value);
    });
    cancel.addEventListener("click", (event) => { event.stopPropagation(); reader.cancel(); });
    area.addEventListener("click", (event) => event.stopPropagation());
    return el("div", { class: "editor" }, area, el("div", { class: "judgment" }, save, cancel, el("span", { class: "small soft" }, "what is saved here is trained on")));
  }

  function predicted(prediction) {
    const who = el("div", { class: "who" }, el("b", {}));
    appendText(who.firstChild, prediction.model);
    return el("section", { class: "answer-card" }, who, textBlock(prediction.text, "said"));
  }
  return reader;
}
