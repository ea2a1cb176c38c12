// A small HTTP server with one fault: server.js loop|prefork FAULT BACKEND_PORT.
const [architecture, fault, backend] = process.argv.slice(2);
const cluster = require("cluster"), fs = require("fs"), http = require("http");
const agent = new http.Agent({ keepAlive: fault !== "reconnect", maxSockets: 64 });
let log;

function answer(request, response) {
  if (fault === "fsync") {
    log ??= fs.openSync("log", "a");
    fs.writeSync(log, "x".repeat(512));
    fs.fdatasyncSync(log);
  } else if (fault === "failing") {
    for (let count = 0; count < 20; count++) fs.existsSync("/nonexistent/configuration");
  } else if (fault === "backend" || fault === "reconnect") {
    http.get({ host: "127.0.0.1", port: backend, agent }, (from) => from.resume().on("end", () => response.end("hello")));
    return;
  } else if (fault === "sleep") {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  response.end("hello");
}

if (architecture === "prefork" && cluster.isPrimary) {
  let printed = false;
  for (let count = 0; count < 2; count++)
    cluster.fork().on("listening", (address) => { if (!printed) console.log(address.port); printed = true; });
} else {
  const server = http.createServer(answer).listen(0, "127.0.0.1", () => {
    if (!cluster.isWorker) console.log(server.address().port);
  });
}
