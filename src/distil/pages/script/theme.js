// Light and dark, folds on paper, copy buttons.

function startTheme() {
  const root = document.documentElement, button = document.getElementById("theme");
  let stored = null;
  try { stored = localStorage.getItem("distil-theme"); } catch (error) { /* a file opened from disk may have no storage */ }
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("distil-theme", root.dataset.theme); } catch (error) { /* the choice then lasts for this view */ }
  });
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.print-open:not([open])")];
    closed.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
}

function startCopying() {
  document.querySelectorAll("button.copy").forEach((button) => {
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("code, pre").textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "copied"; }
      catch (error) { select(button.parentElement.querySelector("code, pre")); button.textContent = "press Ctrl+C"; }
      setTimeout(() => { button.textContent = "copy"; }, 1600);
    });
  });
}

/** A page opened from disk may not write the clipboard in every browser: then the text is selected. */
function select(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
