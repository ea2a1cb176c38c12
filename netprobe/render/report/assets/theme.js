// Light or dark: as the system has it, until the button says otherwise.
const system = matchMedia("(prefers-color-scheme: dark)");
let chosenLook = null;

function look() {
  return chosenLook ?? (system.matches ? "dark" : "light");
}

function showLook() {
  const root = document.documentElement;
  root.dataset.theme = look();
  document.getElementById("theme").textContent = look() === "dark" ? "Light" : "Dark";
  // A frame takes its surroundings' scheme for its own preference.
  for (const frame of document.querySelectorAll("iframe.flame")) frame.style.colorScheme = look();
}

function chooseLook(name) {
  chosenLook = name;
  showLook();
  redrawAll();
}
