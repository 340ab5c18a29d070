/* The page "Explore": the figures that book/explore.py wrote, drawn by plotly.js, with lists and buttons for their menus.
 *
 * Figures lie in the page rather than being fetched, so that a book that is opened from a folder has them too. Without
 * this script, or where a browser lacks WebGL, the page has the figures of the notebooks and all tables.
 */
"use strict";

/** A figure with the colours of the page as they are now. */
function figureOf(result) {
  const style = getComputedStyle(document.documentElement);
  const text = result.querySelector("script").textContent;
  const figure = JSON.parse(text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim()));
  figure.layout.font.family = getComputedStyle(document.body).fontFamily;
  return figure;
}

function labelled(name, choices, chosen, change) {
  const list = document.createElement("select");
  list.name = name;
  list.setAttribute("aria-label", name);
  list.append(...choices.map((choice) => new Option(choice)));
  list.selectedIndex = chosen < choices.length ? chosen : 0;
  list.addEventListener("change", () => change(list.selectedIndex));
  const label = document.createElement("label");
  label.append(name, list);
  return label;
}

/** A button that hides a trace, and shows it again. */
function toggle(picture, trace, number) {
  const button = document.createElement("button");
  const sign = document.createElement("span");
  sign.textContent = trace.meta;
  sign.style.color = trace.marker?.color ?? trace.line.color;
  sign.setAttribute("aria-hidden", "true");
  button.type = "button";
  button.append(sign, trace.name);
  const press = (shown) => button.setAttribute("aria-pressed", String(shown));
  press(true);
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") === "false";
    press(shown);
    Plotly.restyle(picture, { visible: shown }, [number]);
  });
  return button;
}

function start(view) {
  const results = [...view.querySelectorAll(".explore-result")];
  const picture = view.querySelector(".explore-figure");
  if (figureOf(results[0]).layout.scene && !document.createElement("canvas").getContext("webgl")) return;
  const controls = document.createElement("form");
  controls.className = "explore-controls";
  const [lists, buttons] = ["lists", "buttons"].map(() => document.createElement("div"));
  const which = labelled("Network", results.map((result) => result.dataset.name), 0, show);
  controls.append(which, lists, buttons);
  picture.before(controls);
  picture.replaceChildren();
  picture.classList.add("explore-live");
  picture.setAttribute("role", "img");
  show(0);

  async function show(number) {
    results.forEach((result, other) => (result.hidden = other !== number));
    picture.setAttribute("aria-label", results[number].querySelector("p").textContent);
    const { data, layout: { updatemenus, ...layout } } = figureOf(results[number]);
    await Plotly.react(picture, data, layout, { displayModeBar: false, responsive: true });
    // What is chosen stays, where the other result has it too.
    const before = Object.fromEntries([...lists.querySelectorAll("select")].map((list) => [list.name, list.selectedIndex]));
    lists.replaceChildren(...updatemenus.map(({ name, buttons: choices }) => {
      const choose = (choice) => Plotly[choices[choice].method](picture, ...choices[choice].args);
      const label = labelled(name, choices.map((choice) => choice.label), before[name] ?? 0, choose);
      choose(label.querySelector("select").selectedIndex);
      return label;
    }));
    buttons.replaceChildren(...data.flatMap((trace, place) => (trace.meta ? [toggle(picture, trace, place)] : [])));
  }

  // The colours of another theme.
  const again = () => show(which.querySelector("select").selectedIndex);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

// A view is drawn when it comes near the screen.
const near = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
    near.unobserve(target);
    start(target);
  }
}, { rootMargin: "200px" });
document.querySelectorAll(".explore").forEach((view) => near.observe(view));
