// On paper: light, everything open, charts as wide as the sheet.
const PAPER_WIDTH = 690;
let closed = [];

function beforePrint() {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const one of closed) one.open = true;
  document.documentElement.dataset.theme = "light";
  for (const place of places()) {
    const { data, layout } = inLook(figureOf(place), "light");
    Plotly.react(place, data, { ...withSelection(place, layout), width: PAPER_WIDTH, autosize: false }, CONFIG);
    drawn.set(place, "paper");
  }
}

function afterPrint() {
  for (const one of closed) one.open = false;
  closed = [];
  showLook();
  redrawAll();
}
