// Makes tables sortable, opens what a link leads to, and draws the plots, pictures and codes whose data the page has.
// Texts come from a store that strangers wrote: they become text nodes and attributes, never markup.
"use strict";
(() => {
  const SVG = ["svg", "g", "path", "line", "text", "circle", "polyline"];
  // Markers of the figures, of radius 5.
  const MARKERS = {
    "s": "M-4-4H4V4H-4Z", "o": "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z", "D": "M0-5L5 0L0 5L-5 0Z",
    "v": "M-5-4H5L0 5Z", "<": "M4-5V5L-5 0Z", ">": "M-4-5V5L5 0Z",
    "P": "M-2-5H2V-2H5V2H2V5H-2V2H-5V-2H-2Z", "X": "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
  };
  const STAR = "M0-10L2.4-3.2L9.5-3.1L3.8 1.2L5.9 8.1L0 4L-5.9 8.1L-3.8 1.2L-9.5-3.1L-2.4-3.2Z";
  const ROUNDING = 1e-9; // of the largest error: a logarithmic axis leaves out what is smaller
  const MOST_CLASSES = 20; // in a legend
  const REACH = { mouse: 24, touch: 40 }; // pixels from the pointer to a mark

  function make(name, attributes = {}, ...children) {
    const svg = SVG.includes(name);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const isWeb = address => /^https?:\/\//.test(address ?? "");

  // A group of one model's shapes, in its colour.
  function series(name, model, ...children) {
    const made = make(name, { class: "series" }, ...children);
    made.style.setProperty("--colour", model.colour);
    return made;
  }

  // The mark of a series in a legend.
  function legendKey(series) {
    return make("svg", { width: 12, height: 12, viewBox: "-6 -6 12 12", "aria-hidden": "true" }, series);
  }

  function dot(colour, r) {
    const made = series("circle", { colour });
    made.setAttribute("r", r);
    return made;
  }

  // Tables -----------------------------------------------------------------------------------------------------------

  function numberIn(text) {
    const found = /^[>+]?\s*(-?\d[\d.]*(?:e[-+]?\d+)?)/i.exec(text.trim().replace(/,(?=\d{3})/g, ""));
    return found ? Number(found[1]) : NaN;
  }

  // Numbers come before texts, and dashes last, in both directions.
  function compared(one, other, sign) {
    const [a, b] = [numberIn(one), numberIn(other)];
    if (!isNaN(a) && !isNaN(b)) return sign * (a - b);
    if (isNaN(a) !== isNaN(b)) return isNaN(a) ? 1 : -1;
    if ((one === "–") !== (other === "–")) return one === "–" ? 1 : -1;
    return sign * one.localeCompare(other, "en", { numeric: true });
  }

  function makeSortable(table) {
    const heads = [...(table.tHead?.rows[0].cells ?? [])];
    const body = table.tBodies[0];
    if (body.rows.length < 2) return;
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
        const text = row => row.cells[column].textContent;
        body.append(...[...body.rows].sort((a, b) => compared(text(a), text(b), sign)));
      });
    });
  }

  // Folded parts -----------------------------------------------------------------------------------------------------

  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    target?.scrollIntoView();
  }

  // Pictures ---------------------------------------------------------------------------------------------------------

  // A slider over the dim3 of a view, and what to call for each of them.
  function dim3Slider(spec, update) {
    const input = make("input", { type: "range", min: 0, max: spec.dim3.length - 1, step: 1, value: spec.start });
    const shown = make("b");
    const moved = () => {
      const dim3 = spec.dim3[input.value];
      shown.textContent = dim3;
      input.setAttribute("aria-valuetext", `dim3 ${dim3}`);
      update(dim3);
    };
    input.addEventListener("input", moved);
    return [make("div", { class: "controls" }, make("label", { class: "wide" }, "dim3", input, shown)), moved];
  }

  // Which of a model's dim3 is shown, -1 for none: the nearest below that was trained. And the words for that.
  function nearestBelow(model, dim3) {
    const at = model.dim3.findLastIndex(k => k <= dim3);
    return [at, at < 0 ? `from dim3 ${model.dim3[0]} on` : `at dim3 ${model.dim3[at]}`];
  }

  function nameWith(model, at, place, dim3) {
    return [model.label, ...(model.dim3[at] === dim3 ? [] : [" ", make("em", {}, place)])];
  }

  // The originals, and below them each model's reconstructions, at the dim3 of a slider.
  function showPictures(root, spec) {
    const rows = spec.models.map(model => ({ model, ...exampleRow(spec, model) }));
    const originals = exampleRow(spec, null);
    originals.draw(0, "the test rows");
    originals.name.textContent = "original";
    const [slider, moved] = dim3Slider(spec, dim3 => {
      for (const { model, draw, name, says } of rows) {
        const [at, place] = nearestBelow(model, dim3);
        draw(at, `${model.label} ${place}`);
        name.replaceChildren(...nameWith(model, at, place, dim3));
        says.textContent = model.texts[at] ?? "";
      }
    });
    root.append(slider, originals.row, ...rows.map(r => r.row));
    moved();
  }

  // One row of examples: of a model, or the originals for null. `draw(i)` shows those of its i-th dim3, -1 none.
  function exampleRow(spec, model) {
    const [name, says] = [make("strong"), make("span")];
    const [box, draw] = spec.shape ? strip(spec, model) : polylines(spec, model);
    return { row: make("div", { class: "example" }, make("p", {}, name, says), box), draw, name, says };
  }

  function strip(spec, model) {
    const [height, width] = spec.shape;
    const picture = make("img", { src: (model ?? { rows: spec.originals }).rows, alt: "" });
    const box = make("div", { class: Math.min(height, width) < 16 ? "strip tiny" : "strip" }, picture);
    box.style.setProperty("--count", spec.count);
    box.style.aspectRatio = `${spec.count * width} / ${height}`;
    const count = model ? model.dim3.length : 1;
    return [box, (at, name) => {
      picture.style.transform = `translateY(${-100 * at / count}%)`; // a share of the picture's own height
      picture.style.visibility = at < 0 ? "hidden" : "visible";
      picture.alt = at < 0 ? "" : name;
    }];
  }

  function polylines(spec, model) {
    const picture = make("svg", { viewBox: `0 0 ${110 * spec.count} 80`, role: "img", class: "polylines" });
    const box = model ? series("div", model, picture) : make("div", {}, picture);
    const lines = (rows, name) => rows.map((row, i) => {
      const along = row.length > 1 ? row.map((_, j) => 110 * i + 100 * j / (row.length - 1)) : [110 * i, 110 * i + 100];
      const points = along.map((x, j) => `${x.toFixed(1)},${80 - 0.8 * (row[j] ?? row[0])}`);
      return make("polyline", { class: name, points: points.join(" ") });
    });
    return [box, (at, name) => {
      const made = model && at >= 0 ? lines(model.rows[at], "made") : [];
      picture.replaceChildren(...lines(spec.originals[0], "original"), ...made);
      picture.setAttribute("aria-label", name);
    }];
  }

  // Codes ------------------------------------------------------------------------------------------------------------

  // A panel of codes for each model at the dim3 of a slider. One row is marked in all of them, and its picture shown.
  function showCodes(root, spec) {
    const panels = spec.models.map(model => codePanel(spec, model, mark));
    const sheet = data[spec.sprite];
    const picture = make("canvas", { role: "img", "aria-label": "picture of the marked row" });
    const image = make("img", { src: sheet?.image ?? "" });
    const said = make("p", { "aria-live": "polite" });
    let marked = -1;

    function mark(row) {
      if (row === marked) return;
      marked = row;
      panels.forEach(panel => panel.mark(row));
      const label = spec.labels ? [make("strong", {}, `class ${spec.labels[row]}`), ", "] : [];
      said.replaceChildren(...label, `test row ${row}`);
      show();
    }
    const show = () => { if (sheet) drawFrom(picture, image, sheet, marked); };
    const [slider, moved] = dim3Slider(spec, dim3 => panels.forEach(panel => panel.draw(dim3)));
    image.addEventListener("load", show);
    const shown = make("div", { class: "marked" }, ...(sheet ? [picture] : []), said);
    const keys = spec.classes.slice(0, MOST_CLASSES).map(([name, colour]) => make("span", {}, legendKey(dot(colour, 5)), name));
    const more = spec.classes.length - keys.length;
    if (more > 0) keys.push(make("span", {}, `and ${more} more`));
    const legend = keys.length ? [make("p", { class: "classes" }, "class", ...keys)] : [];
    root.append(make("div", { class: "bar" }, slider, shown), ...legend, make("div", { class: "clouds" }, ...panels.map(p => p.box)));
    moved();
    mark(0);
  }

  // The picture of a row, cut out of the image that has those of all.
  function drawFrom(canvas, image, { columns, shape: [height, width] }, row) {
    [canvas.width, canvas.height] = [width, height];
    if (!image.complete) return;
    canvas.getContext("2d").drawImage(image, width * (row % columns), height * Math.floor(row / columns), width, height, 0, 0, width, height);
  }

  // The codes of one model; `found(row)` is called for the row that a pointer or the arrow keys come to.
  function codePanel(spec, model, found) {
    const [name, says, edge] = [make("strong"), make("span", { class: "soft" }), spec.side / 25];
    const size = spec.side + 2 * edge;
    const ring = make("circle", { class: "ring", r: edge });
    const dots = Array.from({ length: spec.count }, (_, row) => {
      const colour = spec.classes.find(([label]) => label === spec.labels?.[row])?.[1] ?? spec.colour;
      return dot(colour, spec.side / 70);
    });
    const svg = make("svg", { viewBox: `${-edge} ${-edge} ${size} ${size}`, tabindex: 0, role: "application" }, ...dots, ring);
    const box = make("div", { class: "cloud" }, make("p", {}, name, " ", says), svg);
    let [points, current] = [null, 0];

    function draw(dim3) {
      const [at, place] = nearestBelow(model, dim3);
      name.replaceChildren(...nameWith(model, at, place, dim3));
      says.textContent = model.texts[at] ?? "";
      svg.setAttribute("aria-label", `codes of ${model.label} ${place}: arrow keys go from row to row`);
      svg.style.visibility = at < 0 ? "hidden" : "visible";
      points = at < 0 ? null : dots.map((_, row) => model.points[at].slice(2 * row, 2 * row + 2));
      points?.forEach(([x, y], row) => setPlace(dots[row], x, y));
      mark(current);
    }
    function mark(row) {
      current = row;
      if (points) setPlace(ring, ...points[row]);
    }
    // The nearest row to a place, of those that `isThere` names.
    function nearest(x, y, isThere = () => true) {
      const far = row => Math.hypot(points[row][0] - x, points[row][1] - y);
      return points.map((_, row) => row).filter(isThere).sort((a, b) => far(a) - far(b))[0];
    }
    const under = event => {
      const frame = svg.getBoundingClientRect();
      const along = (at, start, length) => (at - start) / length * size - edge;
      found(nearest(along(event.clientX, frame.left, frame.width), along(event.clientY, frame.top, frame.height)));
    };
    svg.addEventListener("pointermove", event => { if (event.pointerType !== "touch") under(event); });
    svg.addEventListener("click", under);
    svg.addEventListener("keydown", event => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || !points) return;
      event.preventDefault();
      const [x, y] = points[current];
      const ahead = row => { // within 45 degrees of the arrow
        const [right, down] = [points[row][0] - x, points[row][1] - y];
        const along = right * step[0] + down * step[1];
        return along > 0 && along >= Math.abs(right * step[1] + down * step[0]);
      };
      const next = nearest(x, y, ahead);
      if (next !== undefined) found(next);
    });
    return { box, draw, mark };
  }

  function setPlace(circle, x, y) {
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", y);
  }

  // Plots ------------------------------------------------------------------------------------------------------------

  // Places of values on an axis from one pixel to another, and its ticks.
  function scale(values, log, from, to, steps) {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
    const of = log ? Math.log : value => value;
    const at = value => from + (to - from) * (of(value) - of(low)) / (of(high) - of(low));
    return { at, ticks: log ? logTicks(low, high, steps) : linearTicks(low, high) };
  }

  function linearTicks(low, high) {
    const rough = (high - low) / 8;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find(s => s * unit >= rough);
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
  }

  function logTicks(low, high, { base, steps }) {
    const ticks = [];
    for (let power = Math.floor(Math.log(low) / Math.log(base)); base ** power <= high; power++) {
      ticks.push(...steps.map(step => step * base ** power));
    }
    return ticks.filter(tick => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
  }

  const labelled = (...parts) => make("label", {}, ...parts);

  function choose(names, selected) {
    const menu = make("select", {}, ...names.map((name, i) => make("option", { value: i }, name)));
    menu.value = selected;
    return menu;
  }

  function showPlot(root, spec) {
    const purpose = choose(spec.purposes.map(p => p.words), spec.rule);
    const measure = choose([spec.error_name, ...(spec.kept ? ["variance kept"] : [])], 0);
    const logX = make("input", { type: "checkbox" });
    const logY = make("input", { type: "checkbox" });
    [logX.checked, logY.checked] = [spec.log_dim3, spec.log_error];
    const keys = spec.models.map(model => {
      const key = legendKey(series("g", model, make("path", { class: "point", d: MARKERS[model.marker] })));
      const text = make("span");
      const button = make("button", { type: "button", "aria-pressed": "true" }, key, `${model.label} `, text);
      return { button, text };
    });
    const said = make("p", { class: "spoken", "aria-live": "polite" });
    const chart = make("div", { class: "chart" });
    root.append(
      make("div", { class: "controls" }, labelled("dim3 to", purpose), ...(spec.kept ? [labelled("Show", measure)] : []),
        labelled(logX, "logarithmic dim3"), labelled(logY, "logarithmic error")),
      make("div", { class: "legend", role: "group", "aria-label": "Models and their choices" }, ...keys.map(k => k.button)),
      chart, said);

    function update() {
      const asked = spec.purposes[purpose.value];
      keys.forEach(({ text }, i) => { text.textContent = asked.choices[i].text; });
      const kept = measure.value === "1";
      logY.disabled = kept; // the share may be negative
      const on = spec.models.map((_, i) => keys[i].button.getAttribute("aria-pressed") === "true");
      drawPlot(chart, spec, { asked, kept, on, logX: logX.checked, logY: logY.checked && !kept });
    }
    for (const control of [measure, logX, logY]) control.addEventListener("change", update);
    purpose.addEventListener("change", () => {
      update();
      said.textContent = spec.models.map((m, i) => `${m.label}: ${keys[i].text.textContent}`).join("; ");
    });
    for (const { button } of keys) {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
        update();
      });
    }
    update();
    let width = chart.clientWidth;
    new ResizeObserver(() => {
      if (chart.clientWidth !== width) update();
      width = chart.clientWidth;
    }).observe(chart);
  }

  // Draw the axes, the curves of the models that are on, and their choices; and let the marks be looked at.
  function drawPlot(chart, spec, state) {
    const width = Math.max(chart.clientWidth, 260);
    const height = width < 600 ? 300 : 400;
    const edge = { left: 56, right: width - 12, top: 12, bottom: height - 44 };
    const measure = state.kept ? "kept" : "error";
    const models = spec.models.map((model, i) => ({ ...model, i })).filter(({ i }) => state.on[i]);
    const every = models.flatMap(model => model.points);
    const largest = Math.max(...every.map(p => p.error[0]));
    const usable = value => value !== null && (!state.logY || value > ROUNDING * largest);
    const values = every.flatMap(p => p[measure]).filter(usable);
    const svg = make("svg", { height, role: "group", "aria-label": `${state.kept ? "variance kept" : spec.error_name} against dim3` });
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (!values.length) {
      chart.replaceChildren(svg);
      return;
    }
    const ends = state.kept ? [0, 1] : state.logY ? [] : [0];
    const x = scale(every.map(p => p.dim3), state.logX, edge.left + 14, edge.right - 14, { base: 2, steps: [1] });
    const decades = Math.log10(Math.max(...values) / Math.min(...values));
    const y = scale([...ends, ...values], state.logY, edge.bottom - 14, edge.top + 8, { base: 10, steps: decades < 2 ? [1, 2, 5] : [1] });
    svg.append(drawAxes(x, y, edge, state, spec), ...drawLevel(y, edge, state, measure, values));
    const marks = [];
    models.forEach((model, turn) => {
      const points = model.points.filter(p => usable(p[measure][0]));
      const placed = points.map(point => ({ point, model, x: x.at(point.dim3), y: y.at(point[measure][0]) }));
      const curve = drawCurve(model, placed, p => p[measure].map(v => (usable(v) ? y.at(v) : null)));
      marks.push(...curve.marks);
      svg.append(curve.group);
      const choice = state.asked.choices[model.i];
      const over = models.slice(turn + 1).filter(later => state.asked.choices[later.i].dim3 === choice.dim3).length;
      if (choice.dim3 !== null) svg.append(drawChoice(model, choice, placed, x, edge, turn, over));
    });
    chart.replaceChildren(svg, ...lookAt(chart, svg, marks, width));
  }

  function drawAxes(x, y, edge, state, spec) {
    const group = make("g", { class: "axis" });
    const plain = value => {
      const short = Number(value.toPrecision(6));
      return Math.abs(short) < 1e5 ? String(short) : short.toExponential().replace("e+", "e"); // others are too wide
    };
    for (const tick of x.ticks.filter(Number.isInteger)) {
      group.append(make("line", { x1: x.at(tick), x2: x.at(tick), y1: edge.top, y2: edge.bottom }),
        make("text", { x: x.at(tick), y: edge.bottom + 18, "text-anchor": "middle" }, plain(tick)));
    }
    for (const tick of y.ticks) {
      group.append(make("line", { x1: edge.left, x2: edge.right, y1: y.at(tick), y2: y.at(tick) }),
        make("text", { x: edge.left - 6, y: y.at(tick) + 4, "text-anchor": "end" }, state.kept ? `${plain(100 * tick)} %` : plain(tick)));
    }
    const middle = (edge.top + edge.bottom) / 2;
    group.append(make("text", { x: (edge.left + edge.right) / 2, y: edge.bottom + 38, "text-anchor": "middle" }, "dim3 (latent dimensions)"),
      make("text", { transform: `translate(12 ${middle}) rotate(-90)`, "text-anchor": "middle" }, state.kept ? "variance kept" : spec.error_name));
    return group;
  }

  // The share of the variance that the purpose asks for, where it lies on the axis.
  function drawLevel(y, edge, state, measure, values) {
    const level = state.asked.level?.[measure];
    if (level === undefined || level < Math.min(...values) || level > Math.max(...values)) return [];
    return [make("line", { class: "level", x1: edge.left, x2: edge.right, y1: y.at(level), y2: y.at(level) })];
  }

  // A curve, dotted over dim3 without a cell as in the figures; bars of intervals; and a mark for each point.
  function drawCurve(model, placed, heights) {
    let [path, gap, bars] = ["", "", ""];
    placed.forEach((mark, i) => {
      const [, low, high] = heights(mark.point);
      if (low !== null && high !== null) bars += `M${mark.x} ${low}V${high}`;
      const before = placed[i - 1];
      if (!before) return;
      const isNear = mark.point.dim3 <= Math.max(before.point.dim3 + 1, 1.5 * before.point.dim3);
      const line = `M${before.x} ${before.y}L${mark.x} ${mark.y}`;
      if (isNear) path += line; else gap += line;
    });
    const marks = placed.map(mark => {
      const name = `${model.label}, dim3 ${mark.point.dim3}`;
      const node = make("path", {
        class: mark.point.hollow ? "point hollow" : "point", d: MARKERS[model.marker], tabindex: -1, role: "img",
        transform: `translate(${mark.x} ${mark.y})`, "aria-label": `${name}: ${mark.point.says.join("; ")}`,
      });
      return { ...mark, node, name };
    });
    const lines = [["gap", gap], ["curve", path], ["error", bars]].filter(([, d]) => d);
    return { marks, group: series("g", model, ...lines.map(([name, d]) => make("path", { class: name, d })), ...marks.map(m => m.node)) };
  }

  // A star on the curve at a choice, larger than those that may lie over it, and a bar on the axis over its interval,
  // of which null is an end outside the range.
  function drawChoice(model, choice, placed, x, edge, turn, over) {
    const group = series("g", model);
    const after = placed.findIndex(mark => mark.point.dim3 >= choice.dim3);
    if (after < 0) return group;
    const [b, a, at] = [placed[after], placed[Math.max(after - 1, 0)], x.at(choice.dim3)];
    if (after === 0 && b.point.dim3 > choice.dim3) return group;
    const height = b.x === a.x ? b.y : a.y + (b.y - a.y) * (at - a.x) / (b.x - a.x);
    group.append(make("path", { class: "star", d: STAR, transform: `translate(${at} ${height}) scale(${1 + 0.6 * over})`, "data-choice": choice.dim3 }));
    const level = edge.bottom - 3 - 5 * turn;
    const [low, high] = choice.ends ?? [choice.dim3, choice.dim3];
    const [from, to] = [low === null ? edge.left : x.at(low), high === null ? edge.right : x.at(high)];
    group.append(make("line", { class: "bracket", x1: Math.max(from, edge.left) - 2, x2: Math.min(to, edge.right) + 2, y1: level, y2: level }));
    return group;
  }

  // Beside a mark where there is room, else above or below it.
  function place(tip, mark, width) {
    const [wide, high, off] = [tip.offsetWidth, tip.offsetHeight, 14];
    const right = mark.x + off + wide <= width;
    const beside = right || mark.x - off - wide >= 0;
    const above = mark.y - off - high >= 0;
    const left = right ? mark.x + off : beside ? mark.x - off - wide : Math.min(Math.max(mark.x - wide / 2, 0), width - wide);
    tip.style.left = `${left}px`;
    tip.style.top = `${beside ? Math.max(mark.y - high, 0) : above ? mark.y - off - high : mark.y + off}px`;
  }

  // The numbers of the mark under the pointer or the focus. A click keeps them; Escape puts them away.
  function lookAt(chart, svg, marks, width) {
    const tip = make("div", { class: "tip", hidden: "" });
    const ring = make("circle", { class: "ring", r: 9, visibility: "hidden" });
    svg.append(ring);
    let [kept, current] = [false, marks[0]];

    function show(mark) {
      const link = isWeb(mark.point.link) ? [make("p", {}, make("a", { href: mark.point.link }, mark.point.link_text))] : [];
      tip.replaceChildren(make("strong", {}, mark.name), ...mark.point.says.map(text => make("p", {}, text)), ...link);
      tip.hidden = false;
      ring.setAttribute("visibility", "visible");
      ring.setAttribute("transform", `translate(${mark.x} ${mark.y})`);
      place(tip, mark, width);
      current.node.tabIndex = -1;
      current = mark;
      current.node.tabIndex = 0; // one stop of the tab key; arrows go on from there
    }
    function hide() {
      kept = false;
      tip.hidden = true;
      ring.setAttribute("visibility", "hidden");
    }
    function nearest(event) {
      const box = svg.getBoundingClientRect();
      const far = mark => Math.hypot(mark.x - event.clientX + box.left, mark.y - event.clientY + box.top);
      const found = marks.reduce((best, mark) => (far(mark) < far(best) ? mark : best));
      return far(found) <= (event.pointerType === "touch" ? REACH.touch : REACH.mouse) ? found : null;
    }
    svg.addEventListener("pointermove", event => {
      const found = kept || event.pointerType === "touch" ? null : nearest(event);
      if (found) show(found);
    });
    svg.addEventListener("click", event => {
      const found = nearest(event);
      if (found) show(found); else hide();
      kept = found !== null;
    });
    chart.onpointerleave = event => { if (!kept && event.pointerType !== "touch") hide(); };
    svg.addEventListener("focusin", event => {
      const found = marks.find(mark => mark.node === event.target);
      if (found) show(found);
    });
    chart.onkeydown = event => {
      if (event.key === "Escape") return hide();
      if (event.key === "Enter") return tip.querySelector("a")?.focus();
      const same = marks.filter(mark => mark.model === current.model);
      const [step, jump] = [{ ArrowRight: 1, ArrowLeft: -1 }[event.key], { ArrowDown: 1, ArrowUp: -1 }[event.key]];
      let next = step && same[same.indexOf(current) + step];
      if (jump) {
        const models = [...new Set(marks.map(mark => mark.model))];
        const other = models[models.indexOf(current.model) + jump];
        const away = mark => Math.abs(mark.x - current.x);
        next = marks.filter(mark => mark.model === other).sort((a, b) => away(a) - away(b))[0];
      }
      if (step || jump) event.preventDefault();
      next?.node.focus();
    };
    marks[0].node.tabIndex = 0;
    return [tip];
  }

  // ------------------------------------------------------------------------------------------------------------------

  document.querySelectorAll("table").forEach(makeSortable);
  addEventListener("hashchange", openTarget);
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
  for (const figure of document.querySelectorAll("[data-live]")) {
    const spec = data[figure.dataset.live];
    figure.hidden = false;
    const root = figure.firstElementChild;
    ({ plot: showPlot, pictures: showPictures, codes: showCodes })[spec.kind](root, spec);
    if (spec.left_out) root.append(make("p", { class: "soft" }, spec.left_out));
    document.querySelector(`[data-replaced-by="${figure.dataset.live}"]`)?.classList.add("replaced");
  }
  if (location.hash) openTarget();
})();
