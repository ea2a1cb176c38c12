// One time axis and one selection for all charts over time, set by mouse in any chart or by two input fields.
const time = { from: null, to: null, zoomed: false, end: 0 };

function isTime(place) {
  return place.hasAttribute("data-time");
}

function timePlaces() {
  return places().filter(isTime);
}

// The layout of a chart with the selection.
function withSelection(place, layout) {
  if (!isTime(place)) return layout;
  const whole = layout.xaxis.range;
  const some = time.from !== null;
  const range = some && time.zoomed ? [time.from, time.to] : whole;
  const band = {
    type: "rect", xref: "x", yref: "paper", x0: time.from, x1: time.to, y0: 0, y1: 1, layer: "below",
    fillcolor: "#3b82d6", opacity: 0.16, line: { width: 0 },
  };
  return { ...layout, xaxis: { ...layout.xaxis, range: [...range] }, shapes: some && !time.zoomed ? [band] : [], selections: [] };
}

function wireTime(place) {
  place.on("plotly_selected", (event) => {
    const range = event?.range?.x;
    if (range) select(Math.min(...range), Math.max(...range));
  });
  place.on("plotly_doubleclick", () => select(null, null));
}

function select(from, to) {
  if (from !== null) {
    from = Math.max(0, Math.round(from * 100) / 100);
    to = Math.min(time.end, Math.round(to * 100) / 100);
    if (!(to > from)) from = to = null;
  }
  time.from = from;
  time.to = from === null ? null : to;
  if (from === null) time.zoomed = false;
  showTime();
}

function showTime() {
  document.getElementById("time-from").value = time.from ?? 0;
  document.getElementById("time-to").value = time.to ?? Math.round(time.end * 100) / 100;
  document.getElementById("time-zoom").disabled = time.from === null;
  document.getElementById("time-clear").disabled = time.from === null;
  document.getElementById("time-zoom").setAttribute("aria-pressed", String(time.zoomed));
  for (const place of timePlaces()) if (drawn.has(place)) draw(place, drawn.get(place));
  for (const box of document.querySelectorAll(".chosen")) showChosen(box);
}

// A table of means in the selected time range and in the whole recording.
function showChosen(box) {
  box.replaceChildren();
  if (time.from === null) return;
  const table = document.createElement("table");
  table.className = "table";
  table.createCaption().textContent = `Means from ${time.from} to ${time.to} s, and of the whole recording`;
  addRow(table.createTHead().insertRow(), ["", "selected", "all", "difference"], "th");
  const body = table.createTBody();
  for (const [name, values] of seriesOf(timePlaces())) addRow(body.insertRow(), [name, ...comparedMeans(values)], "td");
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.append(table);
  box.append(scroll);
  document.getElementById("live").textContent = `Selected ${time.from} to ${time.to} seconds`;
}

function addRow(row, cells, tag) {
  cells.forEach((text, number) => {
    const cell = document.createElement(tag);
    cell.textContent = text;
    if (number) cell.className = "number";
    row.append(cell);
  });
}

function* seriesOf(list) {
  for (const place of list) {
    const { data, layout } = place;
    if (!data) continue;
    for (const trace of data) {
      const number = Number((trace.yaxis ?? "y").slice(1) || 1);
      const title = plainText(layout.annotations?.[number - 1]?.text ?? "");
      const alone = data.filter((other) => other.yaxis === trace.yaxis).length === 1;
      yield [alone ? title : `${title}: ${plainText(trace.name)}`, { x: inner(trace.x), y: inner(trace.y) }];
    }
  }
}

// The first and last points repeat the first and last intervals.
const inner = (values) => Array.from(values?._inputArray ?? values ?? []).slice(1, -1);

// The text of a label that is escaped for plotly.
function plainText(label) {
  return label.replace(/<\/?b>/g, "").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&#36;/g, "$").replace(/&amp;/g, "&");
}

function comparedMeans({ x, y }) {
  const known = x.map((at, number) => [at, y[number]]).filter(([, value]) => Number.isFinite(value));
  const chosen = known.filter(([at]) => at >= time.from && at <= time.to);
  const mean = (rows) => rows.reduce((sum, [, value]) => sum + value, 0) / rows.length;
  const [some, all] = [mean(chosen), mean(known)];
  const change = all ? `${some >= all ? "+" : "−"}${Math.abs(100 * (some / all - 1)).toFixed(1)} %` : "";
  return [shortNumber(some), shortNumber(all), Number.isFinite(some) ? change : ""];
}

function shortNumber(value) {
  if (!Number.isFinite(value)) return "–";
  return value.toLocaleString("en", { maximumSignificantDigits: value >= 1000 ? 6 : 4 });
}

function startTime() {
  const charts = timePlaces();
  if (!charts.length) return;
  time.end = Math.max(...charts.map((place) => figureOf(place).layout.xaxis.range[1]));
  const bar = document.getElementById("time-bar");
  bar.hidden = false;
  // The bar is hidden while no chart over time is visible.
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target);
    bar.classList.toggle("away", !seen.size && time.from === null);
  });
  for (const place of charts) watch.observe(place);
  const inputs = ["time-from", "time-to"].map((id) => document.getElementById(id));
  for (const input of inputs) {
    input.max = time.end;
    input.addEventListener("change", () => select(...inputs.map((field) => Number(field.value))));
  }
  document.getElementById("time-bar").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("time-clear").addEventListener("click", () => select(null, null));
  document.getElementById("time-zoom").addEventListener("click", () => {
    time.zoomed = !time.zoomed;
    showTime();
  });
  showTime();
}
