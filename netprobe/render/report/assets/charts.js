// Draws one chart at a time, visible charts first, so that the page stays responsive.
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false, doubleClick: false };
let content = null;
const drawn = new Map();

function places() {
  return [...document.querySelectorAll(".chart")];
}

function inTheme(figure, name) {
  const scales = content.scales[name];
  const data = figure.data.map((trace) =>
    trace.meta?.scale ? { ...trace, colorscale: spread(scales[trace.meta.scale]) } : trace);
  return { data, layout: { ...figure.layout, template: content.templates[name] } };
}

function spread(colors) {
  return colors.map((color, number) => [number / (colors.length - 1), color]);
}

function figureOf(place) {
  return content.figures[place.id.replace(/^chart-/, "")];
}

async function draw(place, name = currentTheme()) {
  const began = performance.now();
  const { data, layout } = inTheme(figureOf(place), name);
  const first = !drawn.has(place);
  drawn.set(place, name);
  await Plotly.react(place, data, withSelection(place, layout), CONFIG);
  if (first && isTime(place)) wireTime(place);
  performance.measure(place.id, { start: began });
  place.dataset.drawn = name;
}

const nextTurn = () => new Promise((done) => setTimeout(done));

async function drawAll() {
  const near = (place) => {
    const { top, bottom } = place.getBoundingClientRect();
    return bottom > 0 && top < innerHeight ? 0 : 1;
  };
  const waiting = places().map((place) => [near(place), place]).sort((a, b) => a[0] - b[0]);
  for (const [, place] of waiting) {
    if (!drawn.has(place)) await draw(place);
    await nextTurn();
  }
}

function redrawAll(name = currentTheme()) {
  for (const place of drawn.keys()) if (drawn.get(place) !== name) draw(place, name);
}
