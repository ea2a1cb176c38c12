// Unpacks plotly.js and the data of the charts, which are embedded in the page.
async function unpack(id) {
  const island = document.getElementById(id);
  const packed = island.textContent;
  island.remove();
  if (!packed) return "";
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

// The Content Security Policy of the page allows this script by its hash.
function runScript(text) {
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
  script.remove();
}
