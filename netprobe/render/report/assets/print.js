// Print layout: light theme, everything open, charts as wide as the paper.
const PAPER_WIDTH = 690;
let closed = [];

function beforePrint() {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
  document.documentElement.dataset.theme = "light";
  for (const place of places()) {
    const { data, layout } = inTheme(figureOf(place), "light");
    Plotly.react(place, data, { ...withSelection(place, layout), width: PAPER_WIDTH, autosize: false }, CONFIG);
    drawn.set(place, "paper");
  }
}

function afterPrint() {
  for (const details of closed) details.open = false;
  closed = [];
  showTheme();
  redrawAll();
}
