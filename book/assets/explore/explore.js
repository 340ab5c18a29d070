/* The page "Explore": the diversity–accuracy plane under the pointer, the radial cut in three dimensions.
 *
 *   #explore-data (JSON that the build writes) → a view each → Plotly, loaded when a view comes near the screen
 *
 * A plain deferred script rather than a module, and data in the page rather than fetched: both work in a book that is
 * opened from a folder. Without this script the page has the static figures and their tables.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  const { look, results } = JSON.parse(document.getElementById("explore-data").textContent);
  const root = document.documentElement;

  // ---- Elements

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  /** Paths of the markers, by Plotly's names for them, in a square of 16 around zero. */
  const SHAPES = {
    circle: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    square: "M-4.5-4.5h9v9h-9z",
    "triangle-up": "M0-5.5L5.5 4.5h-11z",
    diamond: "M0-6L6 0L0 6L-6 0z",
    "diamond-tall": "M0-7L4 0L0 7L-4 0z",
    cross: "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    x: "M-6-3L-3-6L0-3L3-6L6-3L3 0L6 3L3 6L0 3L-3 6L-6 3L-3 0z",
    star: "M0-7L1.7-2.3L6.7-2.2L2.7.9L4.1 5.7L0 2.8L-4.1 5.7L-2.7.9L-6.7-2.2L-1.7-2.3z",
    dash: "M-8-1h6v2h-6zM2-1h6v2h-6z",
    dot: "M-8-1h2.5v2h-2.5zM-3-1h2.5v2h-2.5zM2-1h2.5v2h-2.5z",
  };

  function marker(symbol, color) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", SHAPES[symbol]);
    path.setAttribute("fill", color);
    svg.setAttribute("viewBox", "-8 -8 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    return svg;
  }

  function fillTable(table, header, rows) {
    const cells = (values, name, properties) =>
      values.map((value) => element(name, { ...properties, textContent: value }));
    const head = element("thead", {}, element("tr", {}, ...cells(header, "th", { scope: "col" })));
    const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells(row, "td"))));
    table.replaceChildren(head, body);
  }

  // ---- Looks

  /** The page's colours, as they are now. */
  function theme() {
    const style = getComputedStyle(root);
    const color = (name) => style.getPropertyValue(`--pst-color-${name}`).trim();
    const name = root.dataset.theme === "dark" ? "dark" : "light";
    return {
      name,
      text: color("text-base"),
      muted: color("text-muted"),
      grid: color("border"),
      page: color("background"),
      raised: color("surface"),
      font: getComputedStyle(document.body).fontFamily,
    };
  }

  function layout(colors, more) {
    const font = { color: colors.text, family: colors.font, size: 14 };
    return {
      autosize: true,
      margin: { l: 58, r: 12, t: 12, b: 52 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font,
      hoverlabel: { align: "left", bgcolor: colors.raised, bordercolor: colors.muted, font },
      hovermode: "closest",
      showlegend: false,
      dragmode: false,
      ...more,
    };
  }

  function axis(colors, more) {
    return { gridcolor: colors.grid, linecolor: colors.muted, zeroline: false, fixedrange: true, ...more };
  }

  const decimals = (value, count = 3) => (value === null ? "–" : value.toFixed(count));
  const scaleText = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));

  // ---- The library

  let library;

  function plotly() {
    library ??= new Promise((resolve, reject) => {
      const tag = element("script", { src: script.dataset.plotly, onerror: reject });
      tag.onload = () => resolve(window.Plotly);
      document.head.append(tag);
    });
    return library;
  }

  // ---- The address: #plane=dataset/architecture&radial=dataset/architecture

  function readAddress() {
    const said = new URLSearchParams(location.hash.slice(1));
    const known = ["plane", "radial", "map"].filter((name) => said.has(name));
    return Object.fromEntries(known.map((name) => [name, said.get(name)]));
  }

  function writeAddress(changes) {
    const said = new URLSearchParams({ ...readAddress(), ...changes });
    history.replaceState(history.state, "", `#${String(said).replaceAll("%2F", "/")}`);
  }

  // ---- What both views have: a result chosen by dataset and network, in words, with table and provenance

  class View {
    constructor(kind) {
      this.kind = kind;
      this.results = results[kind];
      this.section = document.getElementById(`explore-${kind}`);
      this.controls = this.section.querySelector(".explore-controls");
      this.figure = this.section.querySelector(".explore-figure");
      this.started = false;
    }

    part(name) {
      return this.section.querySelector(`.explore-${name}`);
    }

    open() {
      this.readAddress();
      this.controls.hidden = false;
      this.controls.addEventListener("submit", (event) => event.preventDefault());
      for (const name of ["dataset", "architecture"]) {
        this.controls.elements[name].addEventListener("change", () => this.choose());
      }
      const near = new IntersectionObserver((entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          near.disconnect();
          this.start();
        }
      }, { rootMargin: "200px" });
      near.observe(this.figure);
    }

    /** Show what the address names; one that names nothing, as of a heading, leaves what is shown. */
    readAddress() {
      const wanted = readAddress()[this.kind];
      if (wanted === undefined && this.result) return;
      const found = this.results.find((result) => this.name(result) === wanted);
      this.missing = wanted !== undefined && !found ? wanted : null;
      this.show(found ?? this.results[0]);
    }

    name(result) {
      return `${result.dataset}/${result.architecture}`;
    }

    /** The result of the two lists: another dataset may not have the network that was shown. */
    choose() {
      const { dataset, architecture } = this.controls.elements;
      const mine = this.results.filter((result) => result.dataset === dataset.value);
      this.missing = null;
      this.show(mine.find((result) => result.architecture === architecture.value) ?? mine[0]);
      writeAddress({ [this.kind]: this.name(this.result) });
    }

    show(result) {
      this.result = result;
      const mine = this.results.filter((other) => other.dataset === result.dataset);
      this.list("dataset", [...new Set(this.results.map((other) => other.dataset))]);
      this.list("architecture", mine.map((other) => other.architecture));
      this.describe();
      fillTable(this.part("provenance"), ["what", "value"], Object.entries(result.provenance));
      this.draw();
    }

    list(name, values) {
      const select = this.controls.elements[name];
      select.replaceChildren(...values.map((value) => element("option", { value, textContent: value })));
      select.value = this.result[name];
    }

    describe() {
      const { here, preset, dataset, architecture } = this.result;
      const source = here ? "this copy of the book" : "a result that comes with the book";
      const missing = this.missing === null ? "" : `There is no result for ${this.missing}. `;
      this.part("status").textContent =
        `${missing}Shown: ${architecture} on ${dataset}, preset ${preset} (${source}). ${this.sentence()}`;
      fillTable(this.part("table"), ...this.table());
    }

    async start() {
      try {
        this.plotly = await plotly();
      } catch {
        this.part("note").textContent = "The drawing library could not be loaded: here is the figure of the notebook.";
        return;
      }
      this.figure.replaceChildren();
      this.figure.classList.add("explore-live");
      this.started = true;
      this.draw();
    }

    draw() {
      if (!this.started) return;
      const colors = theme();
      this.legend(colors);
      const { traces, layout } = this.picture(colors);
      this.plotly.react(this.figure, traces, layout, { displayModeBar: false, responsive: true });
    }

    legend() {}
  }

  // ---- The diversity–accuracy plane

  /** How much less accurate than the base networks close to it are. */
  const NEAR = 0.06;

  /** Where the plane begins: the base, at zero, is whole. */
  const LOWEST = -0.06;

  const WHOLE = { x: { autorange: true }, y: { autorange: true, autorangeoptions: { include: LOWEST } } };

  class PlaneView extends View {
    hidden = new Set();
    near = false;

    open() {
      super.open();
      const button = this.controls.elements.near;
      button.addEventListener("click", () => {
        this.near = !this.near;
        button.setAttribute("aria-pressed", String(this.near));
        this.draw();
      });
    }

    /** Accuracies from somewhat below the base's to the highest one, with some room, and the diversities there. */
    nearby() {
      const { points, base_accuracy } = this.result;
      const shown = points.filter((point) => point.accuracy > base_accuracy - NEAR);
      const most = (values, room) => Math.max(...values) + room;
      return {
        x: { range: [base_accuracy - NEAR, most([base_accuracy, ...shown.map((point) => point.accuracy)], 0.005)] },
        y: { range: [LOWEST, most([0.2, ...shown.map((point) => point.diversity ?? 0)], 0.1)] },
      };
    }

    sentence() {
      const { points, base_accuracy } = this.result;
      const stars = points.filter((point) => point.method === "independent").length;
      return (
        `${stars} independent solutions and ${points.length - stars} samples around the base, ` +
        `whose test accuracy is ${decimals(base_accuracy)}.`
      );
    }

    table() {
      const rows = this.result.points.map((point) => [
        look.methods[point.method].name,
        scaleText(point.scale),
        decimals(point.accuracy),
        decimals(point.diversity),
      ]);
      return [["method", "scale", "test accuracy", "normalised diversity"], rows];
    }

    methods() {
      return [...new Set(this.result.points.map((point) => point.method))];
    }

    /** A button for each kind of mark, which hides it and shows it again. */
    legend(colors) {
      const base = { name: "base solution", symbol: "x", color: look.methods.single.color };
      const entries = [
        ...this.methods().map((method) => [method, look.methods[method]]),
        ["base", base],
        ...Object.keys(this.result.limits).map((name) => [name, { name, symbol: look.limits[name] }]),
      ];
      const buttons = entries.map(([key, { name, symbol, color }]) => {
        const sign = marker(symbol, color?.[colors.name] ?? colors.muted);
        const button = element("button", { type: "button" }, sign, name);
        button.dataset.key = key;
        button.setAttribute("aria-pressed", String(!this.hidden.has(key)));
        button.addEventListener("click", () => this.toggle(key));
        return button;
      });
      const focused = document.activeElement?.dataset.key;
      this.part("legend").replaceChildren(...buttons);
      if (focused) buttons.find((button) => button.dataset.key === focused)?.focus();
    }

    toggle(key) {
      if (!this.hidden.delete(key)) this.hidden.add(key);
      this.draw();
    }

    picture(colors) {
      const { points, limits, base_accuracy } = this.result;
      const visible = (key) => !this.hidden.has(key);
      const curves = Object.entries(limits).map(([name, { accuracy, diversity }]) => ({
        type: "scatter",
        mode: "lines",
        name,
        x: accuracy,
        y: diversity,
        visible: visible(name),
        line: { color: colors.muted, dash: look.limits[name], width: 2 },
        hovertemplate: `${name}<br>test accuracy %{x:.3f}<br>normalised diversity %{y:.3f}<extra></extra>`,
      }));
      const marks = this.methods().map((method) => {
        const own = points.filter((point) => point.method === method);
        const { name, symbol, size, color } = look.methods[method];
        const which = ({ scale, run }) => (run ? `: run ${run}` : `<br>scale ${scaleText(scale)}`);
        return {
          type: "scatter",
          mode: "markers",
          name,
          x: own.map((point) => point.accuracy),
          y: own.map((point) => point.diversity),
          text: own.map((point) => name + which(point)),
          visible: visible(method),
          marker: { symbol, size, color: color[colors.name], line: { color: colors.page, width: 1 } },
          hovertemplate: "%{text}<br>test accuracy %{x:.3f}<br>normalised diversity %{y:.3f}<extra></extra>",
        };
      });
      const base = {
        type: "scatter",
        mode: "markers",
        name: "base solution",
        x: [base_accuracy],
        y: [0],
        visible: visible("base"),
        marker: { symbol: "x", size: 12, color: look.methods.single.color[colors.name] },
        hovertemplate: "base solution: run 1<br>test accuracy %{x:.3f}<br>normalised diversity 0<extra></extra>",
      };
      const { x, y } = this.near ? this.nearby() : WHOLE;
      return {
        traces: [...curves, ...marks, base],
        layout: layout(colors, {
          xaxis: axis(colors, { title: { text: "test accuracy" }, ...x }),
          yaxis: axis(colors, { title: { text: "disagreement with base / error" }, ...y }),
        }),
      };
    }
  }

  // ---- The radial cut

  /** Where the camera stands: beyond the quarter plane's far corner, or above with run 1's ray to the right. */
  const CAMERAS = {
    side: { eye: { x: 1.1, y: 1.1, z: 0.7 }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.1 } },
    above: { eye: { x: 0, y: 0, z: 1.8 }, up: { x: 0, y: 1, z: 0 }, center: { x: 0, y: 0, z: 0 } },
  };

  /** How many times as far it stands on a narrow screen. */
  const FARTHER = 1.4;

  /** In pixels; a figure below that is narrow. */
  const NARROW = 480;

  /** A step of the turning buttons. */
  const TURN = Math.PI / 8;

  function hasWebGL() {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl"));
    } catch {
      return false;
    }
  }

  /** The map `values[radius][angle]` at a place, between its grid's neighbours; on its border for what lies beyond. */
  function height({ radii, angles }, values, x, y) {
    const place = (grid, at) => {
      const end = grid.findIndex((value) => value >= at);
      const upper = end < 0 ? grid.length - 1 : Math.max(1, end);
      const share = (at - grid[upper - 1]) / (grid[upper] - grid[upper - 1]);
      return [upper - 1, Math.min(1, Math.max(0, share))];
    };
    const [row, down] = place(radii, Math.hypot(x, y));
    const [column, right] = place(angles, Math.atan2(y, x));
    const along = (cells) => cells[column] * (1 - right) + cells[column + 1] * right;
    return along(values[row]) * (1 - down) + along(values[row + 1]) * down;
  }

  class RadialView extends View {
    open() {
      this.webgl = hasWebGL();
      this.stand(this.webgl ? "side" : "flat");
      super.open();
      this.controls.elements.map.addEventListener("change", () => {
        this.map = this.controls.elements.map.value;
        writeAddress({ map: this.map });
        this.describe();
        this.draw();
      });
      this.buttons = [...this.section.querySelectorAll("button[data-view]")];
      for (const button of this.buttons) button.addEventListener("click", () => this.turn(button.dataset.view));
      this.press();
    }

    readAddress() {
      this.map = readAddress().map ?? this.map;
      super.readAddress();
    }

    show(result) {
      const names = Object.keys(result.maps);
      if (!names.includes(this.map)) this.map = names[0];
      const select = this.controls.elements.map;
      select.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
      select.value = this.map;
      super.show(result);
    }

    /** The two runs, with their paths, and where these end: at radius 1, on an edge each. */
    both() {
      const { runs, paths } = this.result;
      const color = (run) => look.runs[(run - 1) % look.runs.length];
      return runs.map((run, number) => {
        return { run, color: color(run), path: paths[number], end: number === 0 ? [1, 0] : [0, 1] };
      });
    }

    sentence() {
      const values = this.result.maps[this.map];
      const at = this.both().map(({ run, end }) => {
        const value = height(this.result, values, ...end);
        return `${decimals(value)} at the solution of run ${run}`;
      });
      return `Height and colour: ${this.map}, ${at.join(" and ")}.`;
    }

    table() {
      const { radii, angles, maps } = this.result;
      const degrees = angles.map((angle) => `${Math.round((angle * 180) / Math.PI)}°`);
      const cells = maps[this.map].map((row) => row.map((value) => decimals(value)));
      const rows = radii.map((radius, row) => [decimals(radius, 1), ...cells[row]]);
      return [["radius", ...degrees], rows];
    }

    async start() {
      await super.start();
      if (this.started && !this.webgl) {
        this.part("note").textContent = "This browser has no WebGL, which turning needs: here is the flat map.";
      }
      // What the reader's own hand turns, the buttons go on from.
      this.figure.on?.("plotly_relayout", (changes) => {
        if (!("scene.camera" in changes)) return;
        this.camera = changes["scene.camera"];
        this.view = "turned";
        this.press();
      });
    }

    get narrow() {
      return this.figure.clientWidth < NARROW;
    }

    /** Take one of the fixed views: `side`, `above`, `flat`. */
    stand(view) {
      this.view = view;
      if (view === "flat") return;
      const { eye, ...camera } = CAMERAS[view];
      const times = this.narrow ? FARTHER : 1;
      this.camera = { ...camera, eye: { x: times * eye.x, y: times * eye.y, z: times * eye.z } };
    }

    turn(view) {
      if (view === "left" || view === "right") {
        const angle = view === "left" ? -TURN : TURN;
        const turned = ({ x, y, z }) => ({
          x: x * Math.cos(angle) - y * Math.sin(angle),
          y: x * Math.sin(angle) + y * Math.cos(angle),
          z,
        });
        this.camera = { ...this.camera, eye: turned(this.camera.eye), up: turned(this.camera.up) };
        this.view = "turned";
      } else {
        this.stand(view);
      }
      this.press();
      this.draw();
    }

    /** Show on the buttons which view is taken, and which ones can be. */
    press() {
      for (const button of this.buttons) {
        const { view } = button.dataset;
        const fixed = view === "flat" || view in CAMERAS;
        button.disabled = view !== "flat" && (!this.webgl || (!fixed && this.view === "flat"));
        if (fixed) button.setAttribute("aria-pressed", String(this.view === view));
      }
    }

    picture(colors) {
      return this.view === "flat" ? this.flatPicture(colors) : this.solidPicture(colors);
    }

    /** Below the picture, where a phone has room. */
    colorbar() {
      const place = { orientation: "h", len: 0.9, thickness: 12, x: 0.5, y: 0, yanchor: "bottom" };
      const tickvals = look.ticks.filter((_, number) => !this.narrow || (look.ticks.length - number) % 2 === 1);
      return { ...place, title: { text: this.map, side: "top" }, outlinewidth: 0, tickvals };
    }

    solidPicture(colors) {
      const { radii, angles, maps, runs } = this.result;
      const values = maps[this.map];
      const grid = (place) => radii.map((radius) => angles.map((angle) => radius * place(angle)));
      const surface = {
        type: "surface",
        x: grid(Math.cos),
        y: grid(Math.sin),
        z: values,
        cmin: 0,
        cmax: 1,
        colorscale: look.colors,
        colorbar: this.colorbar(),
        lighting: { ambient: 0.85, diffuse: 0.3, specular: 0.05 },
        contours: { x: { highlight: false }, y: { highlight: false }, z: { highlight: false } },
        hovertemplate: [
          `share of run ${runs[0]} %{x:.2f}`,
          `share of run ${runs[1]} %{y:.2f}`,
          `${this.map} %{z:.3f}<extra></extra>`,
        ].join("<br>"),
      };
      const heightAt = (place) => height(this.result, values, ...place);
      // A little above the surface, which would hide half of a line that lies in it.
      const above = (points) => points.map((place) => heightAt(place) + 0.015);
      const marks = this.both().flatMap(({ run, color, path, end }) => {
        const places = { x: path.map(([x]) => x), y: path.map(([, y]) => y), z: above(path) };
        const dot = (points, symbol, size, text) => ({
          type: "scatter3d",
          mode: "markers",
          x: points.map(([x]) => x),
          y: points.map(([, y]) => y),
          z: above(points).map((z) => z + 0.01),
          marker: { symbol, size, color, line: { color: "#fff", width: 1 } },
          hovertemplate: `run ${run}: ${text}<br>${this.map} ${decimals(heightAt(points[0]))}<extra></extra>`,
        });
        return [
          { type: "scatter3d", mode: "lines", ...places, line: { color, width: 8 }, hoverinfo: "skip" },
          dot(path.slice(0, 1), "circle", 5, "first weights"),
          dot([end], "diamond", 7, "final solution"),
        ];
      });
      const side = (title) => ({
        title: { text: title, font: { size: 12 } },
        color: colors.text,
        gridcolor: colors.grid,
        backgroundcolor: colors.page,
        showbackground: true,
        tickfont: { size: 11 },
      });
      return {
        traces: [surface, ...marks],
        layout: layout(colors, {
          margin: { l: 0, r: 0, t: 0, b: 0 },
          scene: {
            dragmode: "orbit",
            domain: { y: [0.15, 1] },
            camera: this.camera,
            aspectmode: "manual",
            aspectratio: { x: 1, y: 1, z: 0.6 },
            xaxis: { ...side(`run ${runs[0]}`), nticks: 4 },
            yaxis: { ...side(`run ${runs[1]}`), nticks: 4 },
            zaxis: { ...side(""), range: [0, 1.05], nticks: 6 },
          },
        }),
      };
    }

    /** The fan of the notebook's figure: a patch for every place of the polar grid. */
    flatPicture(colors) {
      const { radii, angles, maps, runs } = this.result;
      const values = maps[this.map];
      const borders = (grid) => grid.map((value, at) => [value, grid[at - 1], grid[at + 1]]);
      const degrees = (angle) => (angle * 180) / Math.PI;
      const cells = borders(radii).flatMap(([radius, before, after], row) => {
        const low = before === undefined ? 0 : (radius + before) / 2;
        const high = after === undefined ? radius + (radius - before) / 2 : (radius + after) / 2;
        return angles.map((angle, column) => ({ low, high, radius, angle, value: values[row][column] }));
      });
      const width = degrees(angles[1] - angles[0]);
      const fan = {
        type: "barpolar",
        base: cells.map((cell) => cell.low),
        r: cells.map((cell) => cell.high - cell.low),
        theta: cells.map((cell) => degrees(cell.angle)),
        width,
        customdata: cells.map((cell) => [cell.radius, cell.value]),
        marker: {
          color: cells.map((cell) => cell.value),
          colorscale: look.colors,
          cmin: 0,
          cmax: 1,
          showscale: true,
          colorbar: this.colorbar(),
        },
        hovertemplate: [
          "radius %{customdata[0]:.2f}",
          "angle %{theta:.0f}°",
          `${this.map} %{customdata[1]:.3f}<extra></extra>`,
        ].join("<br>"),
      };
      const polar = (points) => ({
        r: points.map(([x, y]) => Math.hypot(x, y)),
        theta: points.map(([x, y]) => degrees(Math.atan2(y, x))),
      });
      const marks = this.both().flatMap(({ run, color, path, end }) => {
        const dot = (points, symbol, size, text) => ({
          type: "scatterpolar",
          mode: "markers",
          ...polar(points),
          marker: { symbol, size, color, line: { color: "#fff", width: 1.5 } },
          hovertemplate: `run ${run}: ${text}<extra></extra>`,
        });
        return [
          { type: "scatterpolar", mode: "lines", ...polar(path), line: { color: "#fff", width: 5 }, hoverinfo: "skip" },
          { type: "scatterpolar", mode: "lines", ...polar(path), line: { color, width: 2.5 }, hoverinfo: "skip" },
          dot(path.slice(0, 1), "circle", 9, "first weights"),
          dot([end], "star", 16, "final solution"),
        ];
      });
      return {
        traces: [fan, ...marks],
        layout: layout(colors, {
          margin: { l: 44, r: 44, t: 30, b: 0 },
          polar: {
            domain: { y: [0.2, 1] },
            bgcolor: "rgba(0,0,0,0)",
            sector: [degrees(angles[0]) - width / 2, degrees(angles.at(-1)) + width / 2],
            radialaxis: { range: [0, radii.at(-1) * 1.06], color: colors.text, gridcolor: colors.grid, nticks: 4 },
            angularaxis: {
              tickvals: [0, 45, 90],
              ticktext: [`run ${runs[0]}`, "halfway", `run ${runs[1]}`],
              color: colors.text,
              gridcolor: colors.grid,
            },
          },
        }),
      };
    }
  }

  // ---- Begin

  const views = [new PlaneView("plane"), new RadialView("radial")];
  for (const view of views) view.open();
  new MutationObserver(() => views.forEach((view) => view.draw())).observe(root, { attributeFilter: ["data-theme"] });
  addEventListener("hashchange", () => views.forEach((view) => view.readAddress()));
})();
