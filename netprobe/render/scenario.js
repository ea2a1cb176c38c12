// Draws the chart, in the look that the reader's system has.
"use strict";
const { chart, looks } = JSON.parse(document.getElementById("data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function layout() {
  return { ...chart.layout, template: looks[dark.matches ? "dark" : "light"] };
}
Plotly.newPlot("chart", chart.data, layout(), { responsive: true, displaylogo: false });
dark.addEventListener("change", () => Plotly.react("chart", chart.data, layout()));
