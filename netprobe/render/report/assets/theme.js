// Light or dark theme: that of the system unless the button selects another.
const system = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;

function currentTheme() {
  return chosenTheme ?? (system.matches ? "dark" : "light");
}

function showTheme() {
  const root = document.documentElement;
  root.dataset.theme = currentTheme();
  document.getElementById("theme").textContent = currentTheme() === "dark" ? "Light" : "Dark";
  // A frame uses the colour scheme of its element as its preferred scheme.
  for (const frame of document.querySelectorAll("iframe.flame")) frame.style.colorScheme = currentTheme();
}

function chooseTheme(name) {
  chosenTheme = name;
  showTheme();
  redrawAll();
}
