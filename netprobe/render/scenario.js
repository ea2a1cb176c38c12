// Draws the chart in the color scheme of the reader's system.
"use strict";
const { chart, templates } = JSON.parse(document.getElementById("data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function layout() {
  return { ...chart.layout, template: templates[dark.matches ? "dark" : "light"] };
}
Plotly.newPlot("chart", chart.data, layout(), { responsive: true, displaylogo: false });
dark.addEventListener("change", () => Plotly.react("chart", chart.data, layout()));
