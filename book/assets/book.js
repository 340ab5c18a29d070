// In the head of every page, so that what is set here holds before anything is drawn.

// Whoever comes for the first time gets the theme of the system: until the theme's own script runs, it has "auto".
if (!["light", "dark"].includes(document.documentElement.dataset.theme)) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

document.addEventListener("DOMContentLoaded", () => {
  // The source of a page is saved, where the browser would show a notebook as JSON (sphinx-book-theme#918).
  for (const link of document.querySelectorAll("a.btn-download-source-button")) {
    link.removeAttribute("target");
    link.setAttribute("download", "");
  }
});

// A formula that is wider than the page scrolls by itself: with the keyboard, too.
function reachWideFormulas() {
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}

addEventListener("load", () => window.MathJax?.startup?.promise?.then(reachWideFormulas));
addEventListener("resize", reachWideFormulas);
