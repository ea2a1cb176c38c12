// On paper: white, all rows, drawn again at the width of the sheet.
const SHEET_WIDTH = 1000;
const SHEET_ROWS = 26;
let printing = false;

function beforePrint() {
  printing = true;
  makePlan(SHEET_WIDTH);
  const canvases = [];
  for (let row = 0; row < plan.rows.length; row += SHEET_ROWS) {
    const canvas = element("canvas", { "data-sharp": "1" });
    const height = Math.min(SHEET_ROWS, plan.rows.length - row) * ROW;
    paintRows(canvas, { top: row * ROW, height, width: SHEET_WIDTH, theme: "light", focus: false });
    canvases.push(canvas);
  }
  byId("sheets").replaceChildren(...canvases);
  document.documentElement.dataset.paper = "1";
}

function afterPrint() {
  printing = false;
  delete document.documentElement.dataset.paper;
  byId("sheets").replaceChildren();
  refresh("size");
}
