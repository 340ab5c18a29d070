// In the head of every page, so that what is set here holds before anything is drawn.

// Whoever comes for the first time gets the theme of the system: until the theme's own script runs, it has "auto".
if (!["light", "dark"].includes(document.documentElement.dataset.theme)) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

// Paper is light.
let onScreen;
addEventListener("beforeprint", () => {
  onScreen = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => (document.documentElement.dataset.theme = onScreen));

document.addEventListener("DOMContentLoaded", () => {
  // The source of a page is saved, where the browser would show a notebook as JSON (sphinx-book-theme#918).
  for (const link of document.querySelectorAll("a.btn-download-source-button")) {
    link.removeAttribute("target");
    link.setAttribute("download", "");
  }
});

// What is wider than the page scrolls by itself: with the keyboard, too. The theme sees to its own when the window
// changes, and not when fonts arrive, which make lines wider; formulas it does not know.
const SCROLLING =
  'mjx-container[display="true"], pre, .cell_output > .output, .jp-RenderedHTMLCommon, .pst-scrollable-table-container';

function reachWhatScrolls() {
  for (const part of document.querySelectorAll(SCROLLING)) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else if (part.tagName === "MJX-CONTAINER") part.removeAttribute("tabindex");
  }
}

addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  reachWhatScrolls();
});
addEventListener("resize", reachWhatScrolls);
