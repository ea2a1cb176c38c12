// Start: text is visible before the charts are drawn.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.localName === "details") target.open = true;
}

async function start() {
  document.getElementById("theme").addEventListener("click", () => chooseTheme(currentTheme() === "dark" ? "light" : "dark"));
  system.addEventListener("change", () => chooseTheme(chosenTheme));
  addEventListener("hashchange", openTarget);
  showTheme();
  openTarget();
  content = JSON.parse(await unpack("data"));
  const plotly = await unpack("plotly");
  performance.mark("unpacked");
  if (plotly) runScript(plotly);
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
  startTime();
  performance.mark("interactive");
  await drawAll();
  performance.mark("drawn");
  document.documentElement.dataset.ready = "1";
}

start().catch((error) => {
  console.error(error);
  document.getElementById("live").textContent = `The charts could not be drawn: ${error.message}`;
});
