(function () {
  "use strict";
  var root = document.documentElement, stored = null;
  try { stored = localStorage.getItem("distil-theme"); } catch (error) { /* a file opened from disk may have no storage */ }
  if (stored === "dark" || stored === "light") { root.dataset.theme = stored; }
  document.getElementById("theme").addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("distil-theme", root.dataset.theme); } catch (error) { /* the choice then lasts for this view */ }
  });
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (fold) { fold.open = true; });
  });
})();
