// A person's word on an answer: one button for each mark, the present one pressed.

/** labels: {mark: what its button says}; onMark(mark) is called when one is clicked. */
function judgmentButtons(now, labels, onMark) {
  const buttons = Object.entries(labels).map(([mark, label]) => {
    const node = el("button", { class: "chip " + mark, type: "button", "aria-pressed": String(now === mark) }, label);
    node.addEventListener("click", (event) => { event.stopPropagation(); onMark(mark); });
    return node;
  });
  return el("div", { class: "judgment", role: "group", "aria-label": "Your word" }, ...buttons);
}
