"use strict";
// Shows what a place on a latent plane decodes to, in every plane of a group at once. The pictures are those of the
// decoded grids, which the page has; without this script nothing is missing but the enlargement.
function add(parent, name, className = "") {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}
for (const group of document.querySelectorAll("[data-planes]")) {
  const planes = [...group.querySelectorAll("[data-tiles]")].map((place) => {
    const data = JSON.parse(place.dataset.tiles);
    return { place, marker: add(place, "i", "marker"), picture: place.querySelector("img"), ...data };
  });
  if (!planes.length) continue;
  group.querySelector("[data-hint]").hidden = false;
  const { rows, columns } = planes[0];
  const clouds = [...group.querySelectorAll("[data-codes]")].map((place) => {
    const data = JSON.parse(place.dataset.codes);
    return { place, dot: add(place, "i", "dot"), ...data, plane: planes.find((plane) => plane.name === data.name) };
  });
  const bar = add(group, "div", "chosen");
  bar.hidden = true;
  bar.setAttribute("aria-live", "polite");
  for (const plane of planes) {
    const figure = add(bar, "figure");
    [plane.canvas, plane.caption] = [add(figure, "canvas"), add(figure, "figcaption")];
  }
  const chosen = { column: columns >> 1, row: rows >> 1 };

  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const text = (value) => value.toPrecision(2).replace("-", "−");

  function show(column, row) {
    chosen.column = clamp(column, columns - 1);
    chosen.row = clamp(row, rows - 1);
    bar.hidden = false;
    for (const plane of planes) {
      const { picture, marker, canvas, gap, ticks } = plane;
      const width = picture.naturalWidth / columns, height = picture.naturalHeight / rows;
      canvas.width = width - gap;
      canvas.height = height - gap;
      canvas.getContext("2d").drawImage(picture, chosen.column * width, chosen.row * height, canvas.width, canvas.height,
        0, 0, canvas.width, canvas.height);
      Object.assign(marker.style, {
        display: "block", left: `${100 * chosen.column / columns}%`, top: `${100 * chosen.row / rows}%`,
        width: `${100 / columns}%`, height: `${100 / rows}%`,
      });
      plane.z = [ticks[0][chosen.column], ticks.length > 1 ? ticks[1][rows - 1 - chosen.row] : undefined];
      const values = plane.z.filter((value) => value !== undefined).map(text).join(", ");
      plane.caption.textContent = `${plane.name}: z = (${values})`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `decoded picture, ${plane.caption.textContent}`);
    }
    for (const cloud of clouds) {
      if (!cloud.plane || !cloud.pick) continue;
      const [x, y] = cloud.plane.z, [left, top, right, bottom] = cloud.box;
      const across = (x - cloud.x[0]) / (cloud.x[1] - cloud.x[0]);
      const up = y === undefined ? 0 : (y - cloud.y[0]) / (cloud.y[1] - cloud.y[0]);
      const inside = across >= 0 && across <= 1 && up >= 0 && up <= 1;
      Object.assign(cloud.dot.style, {
        display: inside ? "block" : "none", left: `${100 * (left + across * (right - left))}%`,
        top: `${100 * (bottom - up * (bottom - top))}%`,
      });
    }
  }

  function nearest(ticks, value) {
    return ticks.reduce((best, tick, i) => (Math.abs(tick - value) < Math.abs(ticks[best] - value) ? i : best), 0);
  }

  const where = (event, place) => {
    const frame = place.querySelector("img").getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  };
  for (const { place, name } of planes) {
    place.tabIndex = 0;
    place.setAttribute("role", "application");
    place.setAttribute("aria-label", `decoded plane of ${name}: arrow keys choose a picture`);
    place.addEventListener("click", (event) => {
      const [x, y] = where(event, place);
      show(Math.floor(x * columns), Math.floor(y * rows));
    });
    place.addEventListener("focus", () => show(chosen.column, chosen.row));
    place.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      show(chosen.column + step[0], chosen.row + step[1]);
    });
  }
  for (const { place, plane, pick, box, x, y } of clouds) {
    if (!plane || !pick) continue;
    place.classList.add("pick");
    place.addEventListener("click", (event) => {
      const [across, down] = where(event, place), [left, top, right, bottom] = box;
      const u = x[0] + (across - left) / (right - left) * (x[1] - x[0]);
      const v = y[0] + (bottom - down) / (bottom - top) * (y[1] - y[0]);
      show(nearest(plane.ticks[0], u), plane.ticks.length > 1 ? rows - 1 - nearest(plane.ticks[1], v) : 0);
    });
  }
}
