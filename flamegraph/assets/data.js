// Header, names and arrays of the page.
let header = null;
let arrays = null;

const ARRAY_TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array };

async function unpack(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  arrays = {};
  for (const [name, place] of Object.entries(header.arrays)) {
    const stored = new ARRAY_TYPES[place.type](buffer, 4 + length + place.offset, place.length);
    arrays[name] = place.rising ? summed(stored) : stored;
  }
  arrays.count ??= arrays.weight;
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function summed(steps) {
  const values = new Uint32Array(steps.length);
  let value = 0;
  for (let i = 0; i < steps.length; i++) values[i] = value += steps[i];
  return values;
}
