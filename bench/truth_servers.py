"""`make truth`, part `servers`: findings on stock servers and on small servers in four languages, with one fault each.

python bench/truth_servers.py [--only TEXT]… [--times N] [--seconds N] [--folder RUNS]

Each case states before it runs the code of its fault, and the other findings that are true of it. It is recorded with
`netprobe record` at its default under load, as is the same server without the fault. The estimate is the cost of the
finding in percent as it is reported; saved is 1 - (requests with the fault / requests without it) in the same time,
where the load is not paced. Exit status 1 if a bar is not met. --only selects by the text of `server: fault`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SOURCES = Path(__file__).with_name("servers_of_truth")
_POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))
_LOAD_MARGIN_S = 2
_WARM_UP_S = 1.0
# Requests per second in the reports of wrk, hey, h2load, pgbench, dnsperf and of the client below; redis-benchmark
# prints none when it is ended early.
_RATE = re.compile(
    r"Requests/sec:\s+([\d.]+)|finished in [\d.]+m?s, ([\d.]+) req/s|"
    r"tps = ([\d.]+)|Queries per second:\s+([\d.]+)"
)
_MEMCACHED_CLIENT = """
import socket, sys, threading, time
port, end, counts = int(sys.argv[1]), time.monotonic() + float(sys.argv[2]), []
def client():
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while time.monotonic() < end:
            connection.sendall(b"set k 0 0 5\\r\\nhello\\r\\n" + b"get k\\r\\n" * 20)
            answer = b""
            while answer.count(b"END\\r\\n") < 20:
                answer += connection.recv(65536)
            counts.append(21)
threads = [threading.Thread(target=client) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(f"Requests/sec: {sum(counts) / float(sys.argv[2])}")
"""
# Connects in 32 threads without pause, for a listener that overflows.
_CONNECTING_CLIENT = """
import socket, sys, threading, time
port, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
def client():
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
        except OSError:
            pass
for _ in range(32):
    threading.Thread(target=client).start()
"""

# Load generators: {port}, {seconds} and {folder} are replaced. `loader` is a copy of wrk with another name.
_URL = "http://127.0.0.1:{port}/"
WRK = f"wrk -t1 -c16 -d{{seconds}} {_URL}"
RENAMED = f"{{folder}}/loader -t1 -c16 -d{{seconds}} {_URL}"
HEY = f"hey -z {{seconds}}s -c 16 {_URL}"
HEY_PACED = f"hey -z {{seconds}}s -c 16 -q 20 {_URL}"
HEY_ANEW = f"hey -z {{seconds}}s -c 16 -disable-keepalive {_URL}"
H2LOAD = f"h2load --h1 -t1 -c16 -D {{seconds}} {_URL}"
H2LOAD_PACED = f"h2load --h1 -t1 -c16 --rps=40 -D {{seconds}} {_URL}"
REDIS = "redis-benchmark -p {port} -c 16 -t set -n 100000000"
REDIS_RATE = "timeout -s INT {seconds} " + REDIS
PGBENCH = "{postgres}/pgbench -h 127.0.0.1 -p {port} -U truth -N -n -c 8 -T {seconds} truth"
PGBENCH_ANEW = "{postgres}/pgbench -h 127.0.0.1 -p {port} -U truth -S -C -n -c 8 -T {seconds} truth"
PGBENCH_READ = "{postgres}/pgbench -h 127.0.0.1 -p {port} -U truth -S -n -c 8 -T {seconds} truth"
DNSPERF = "dnsperf -s 127.0.0.1 -p {port} -d {folder}/queries -l {seconds} -q 2000 -c 16"
DNSPERF_PACED = "dnsperf -s 127.0.0.1 -p {port} -d {folder}/queries -l {seconds} -q 100 -Q 1000"


@dataclass(frozen=True)
class Started:
    """A running server."""

    pid: int
    port: int


@dataclass(frozen=True)
class Case:
    """A server with one fault, and what is true of it."""

    server: str
    fault: str
    code: str
    """The code of the fault's finding; empty for a server without a fault."""
    start: Callable[[Path, ExitStack], Started]
    load: str | tuple[str, str] = WRK
    """A command, or a name and a Python program with the arguments port and seconds."""
    also: frozenset[str] = frozenset()
    """Other findings that are true of it."""
    paced: bool = False

    @property
    def name(self) -> str:
        """`server: fault`, unique."""
        return f"{self.server}: {self.fault}"


@dataclass
class Outcome:
    """The result of a recording. `findings`: (code, severity, cost in percent, summary) in their order."""

    case: Case
    findings: list[tuple[str, str, float, str]] = field(default_factory=list)
    inconclusive: list[str] = field(default_factory=list)
    requests_per_s: float = 0.0
    verdict: str = ""

    @property
    def rank(self) -> int:
        """The place of the fault's finding from 1, or 0."""
        codes = [code for code, *_ in self.findings]
        return codes.index(self.case.code) + 1 if self.case.code in codes else 0

    def irrelevant(self, notes: bool) -> list[str]:
        """Codes that are not true of the case: the notes, or those above note."""
        true = self.case.also | {self.case.code}
        return [code for code, severity, *_ in self.findings if code not in true and (severity == "note") is notes]


def _free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(
    stack: ExitStack, folder: Path, *command: str | Path | int, stdout: int | None = None
) -> subprocess.Popen[str]:
    """Start a command in a session of its own, whose processes are ended with the stack."""
    log = stack.enter_context((folder / "log.txt").open("a"))
    process = subprocess.Popen(
        [*map(str, command)], stdin=subprocess.PIPE, stdout=stdout or log, stderr=log, text=True, cwd=folder,
        start_new_session=True,
    )  # fmt: skip
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    for signal, wait_s in ((15, 3), (9, 5)):
        try:
            os.killpg(process.pid, signal)
        except ProcessLookupError:
            break
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    process.wait(5)


def _await(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.05)
    raise RuntimeError(f"no server listens on port {port}")


def _small(stack: ExitStack, folder: Path, *command: str | Path | int) -> Started:
    process = _run(stack, folder, *command, stdout=subprocess.PIPE)
    assert process.stdout
    return Started(process.pid, int(process.stdout.readline()))


def _built(source: str) -> Path:
    """The compiled form of a source, built once per version of it."""
    path = _SOURCES / source
    binary = Path(tempfile.gettempdir(), f"netprobe-truth-{path.suffix[1:]}-{path.stat().st_mtime_ns}")
    if not binary.exists():
        compiler = ["gcc", "-O2", "-pthread", "-o"] if path.suffix == ".c" else ["go", "build", "-o"]
        subprocess.run([*compiler, binary, path], check=True)
    return binary


def _backend(stack: ExitStack, folder: Path, fault: str = "none") -> int:
    return _small(stack, folder, _built("server.c"), "threads", fault).port


def c(architecture: str, fault: str) -> Callable[[Path, ExitStack], Started]:
    """The server in C."""

    def start(folder: Path, stack: ExitStack) -> Started:
        backend = _backend(stack, folder, "slow" if fault == "backend" else "none")
        if fault == "dns":
            silent = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            silent.bind(("127.0.0.1", 0))
            backend = silent.getsockname()[1]
        return _small(stack, folder, _built("server.c"), architecture, fault, backend)

    return start


def script(interpreter: str, source: str, architecture: str, fault: str) -> Callable[[Path, ExitStack], Started]:
    """The server in Python, Node or Go."""

    def start(folder: Path, stack: ExitStack) -> Started:
        backend = _backend(stack, folder, "slow" if fault == "backend" else "none")
        program = [_built(source)] if source == "server.go" else [interpreter, _SOURCES / source]
        return _small(stack, folder, *program, architecture, fault, backend)

    return start


def python(architecture: str, fault: str) -> Callable[[Path, ExitStack], Started]:
    """The server in Python."""
    return script(sys.executable, "server.py", architecture, fault)


def node(architecture: str, fault: str) -> Callable[[Path, ExitStack], Started]:
    """The server in JavaScript."""
    return script("node", "server.js", architecture, fault)


def go(architecture: str, fault: str) -> Callable[[Path, ExitStack], Started]:
    """The server in Go."""
    return script("", "server.go", architecture, fault)


def stock(command: str, configuration: str = "", backend: bool = False) -> Callable[[Path, ExitStack], Started]:
    """A packaged server: {port}, {folder}, {backend} are replaced in its command and its file `configuration`."""

    def start(folder: Path, stack: ExitStack) -> Started:
        values = {
            "port": str(_free_port()), "folder": str(folder),
            "backend": str(_backend(stack, folder) if backend else 9),
        }  # fmt: skip
        (folder / "index.html").write_text("hello")

        def filled(text: str) -> str:
            return re.sub(r"\{(port|folder|backend)\}", lambda found: values[found[1]], text)

        (folder / "configuration").write_text(filled(configuration))
        process = _run(stack, folder, *filled(command).split())
        port = int(values["port"])
        _await(port)
        return Started(process.pid, port)

    return start


def limited(start: Callable[[Path, ExitStack], Started], share: float) -> Callable[[Path, ExitStack], Started]:
    """The server in a CPU cgroup of its own with this quota."""

    def started(folder: Path, stack: ExitStack) -> Started:
        server = start(folder, stack)
        v1 = Path("/sys/fs/cgroup/cpu")
        group = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / f"netprobe-truth-{server.pid}"
        group.mkdir()
        stack.callback(lambda: _remove(group, server.pid))
        if v1.is_dir():
            (group / "cpu.cfs_quota_us").write_text(str(int(share * 100_000)))
        else:
            (group / "cpu.max").write_text(f"{int(share * 100_000)} 100000")
        (group / "cgroup.procs").write_text(str(server.pid))
        return server

    return started


def _remove(group: Path, pid: int) -> None:
    """Move the server out of its group, which can be removed once it is empty."""
    if Path(f"/proc/{pid}").exists():
        (group.parent / "cgroup.procs").write_text(str(pid))
    group.rmdir()


def postgres(settings: str) -> Callable[[Path, ExitStack], Started]:
    """A database of pgbench, as the user nobody."""

    def start(folder: Path, stack: ExitStack) -> Started:
        data, port = folder / "data", _free_port()
        data.mkdir()
        shutil.chown(data, "nobody")
        user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        init = [*user, _POSTGRES / "initdb", "-D", data, "-U", "truth", "-A", "trust", "-N"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, cwd=data)
        options = ["-D", data, "-p", port, "-k", data, "-c", "listen_addresses=127.0.0.1"]
        process = _run(stack, folder, *user, _POSTGRES / "postgres", *options, *settings.split())
        _await(port)
        where = ["-h", "127.0.0.1", "-p", str(port), "-U", "truth"]
        for _ in range(50):
            if not subprocess.run(
                [_POSTGRES / "pg_isready", *where], stdout=subprocess.DEVNULL, check=False
            ).returncode:
                break
            time.sleep(0.1)
        subprocess.run([_POSTGRES / "createdb", *where, "truth"], check=True)
        subprocess.run([_POSTGRES / "pgbench", *where, "-i", "-q", "truth"], check=True, capture_output=True)
        return Started(process.pid, port)

    return start


def _nginx(upstream: str = "", location: str = "return 200 hello;", http: str = "", workers: int = 2) -> str:
    return (
        f"daemon off; user root; worker_processes {workers}; pid {{folder}}/pid; error_log {{folder}}/log.txt crit;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; {http}\n{upstream}\n"
        f"server {{ listen 127.0.0.1:{{port}}; location / {{ {location} }} }} }}"
    )


_NGINX = "nginx -p {folder} -c {folder}/configuration"
_UPSTREAM = "upstream b { server 127.0.0.1:{backend}; %s }"
_PROXY = 'proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "%s";'
_HAPROXY = (
    "global\n maxconn 1000\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n %s\n"
    "listen l\n bind 127.0.0.1:{port}\n server b 127.0.0.1:{backend}\n"
)
_APACHE = "".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in ("authz_core", "mpm_%(mpm)s")
) + (
    "ServerName localhost\nListen 127.0.0.1:{port}\nDocumentRoot {folder}\nPidFile {folder}/pid\n"
    "ErrorLog {folder}/log.txt\nDefaultRuntimeDir {folder}\nUser nobody\nGroup nogroup\nKeepAlive %(keepalive)s\n"
    "MaxKeepAliveRequests 0\n"
)
_APACHE_COMMAND = "apache2 -DFOREGROUND -f {folder}/configuration"
_LIGHTTPD = (
    'server.document-root = "{folder}"\nserver.port = {port}\nserver.bind = "127.0.0.1"\nindex-file.names = '
    '("index.html")\nserver.max-keep-alive-requests = %d\n'
)
_LIGHTTPD_COMMAND = "lighttpd -D -f {folder}/configuration"
_REDIS = "redis-server --port {port} --bind 127.0.0.1 --save --dir {folder} --appendonly %s --appendfsync %s"
_UNBOUND = (
    'server:\n interface: 127.0.0.1\n port: {port}\n username: ""\n chroot: ""\n directory: "{folder}"\n pidfile: ""\n'
    ' num-threads: 1\n so-rcvbuf: %s\n do-daemonize: no\n use-syslog: no\n local-zone: "test." static\n'
    ' local-data: "a.test. A 127.0.0.1"\n'
)
_UNBOUND_COMMAND = "unbound -d -p -c {folder}/configuration"
# A request on a new connection: the calls of epoll_ctl for it are true of it as well.
_CHURN_ALSO = frozenset({"epoll-ctl-churn", "syscalls-per-request"})
_EVENT_LOOP = frozenset({"blocking-in-event-loop"})

CASES = [
    # Event loop
    Case("C loop", "none", "", c("loop", "none")),
    Case("C loop", "none, paced", "", c("loop", "none"), HEY_PACED, paced=True),
    Case("C loop", "fsync", "storage-wait", c("loop", "fsync"), RENAMED, _EVENT_LOOP),
    Case("C loop", "blocking backend", "waits-for-backend", c("loop", "backend"), H2LOAD, _EVENT_LOOP),
    Case("C loop", "blocking backend, paced", "waits-for-backend", c("loop", "backend"), HEY_PACED, _EVENT_LOOP, True),
    Case("C loop", "backend connected anew", "connection-churn", c("loop", "reconnect"), WRK,
         _EVENT_LOOP | {"waits-for-backend"}),
    Case("C loop", "DNS", "blocking-in-event-loop", c("loop", "dns"), WRK, frozenset({"waits-for-backend"})),
    Case("C loop", "Nagle", "delayed-ack", c("loop", "nagle"), WRK),
    Case("C loop", "tiny send buffer", "send-buffer-too-small", c("loop", "sndbuf"), WRK, _EVENT_LOOP),
    Case("C loop", "backlog", "accept-queue-overflow", c("loop", "backlog"), ("connect", _CONNECTING_CLIENT),
         _EVENT_LOOP | _CHURN_ALSO | {"connection-churn"}),
    Case("C loop", "failing calls", "failing-calls", c("loop", "failing"), RENAMED,
         frozenset({"syscalls-per-request"})),
    Case("C loop", "page faults", "page-fault-cost", c("loop", "faults")),
    Case("C loop", "busy-looping threads", "spinning-threads", c("loop", "spin"), WRK,
         frozenset({"reactor-preempted"})),
    Case("C loop", "CPU quota", "cpu-quota", limited(c("loop", "none"), 0.2)),
    # Pre-fork
    Case("C prefork", "none", "", c("prefork", "none"), HEY),
    Case("C prefork", "herd", "thundering-herd", c("prefork", "herd"), HEY_ANEW, _CHURN_ALSO | {"connection-churn"}),
    Case("C prefork", "fsync", "storage-wait", c("prefork", "fsync"), HEY, _EVENT_LOOP),
    # Threads
    Case("C threads", "none", "", c("threads", "none")),
    Case("C threads", "lock", "lock-contention", c("threads", "lock"), RENAMED),
    Case("C threads", "lock not needed", "", c("threads", "unlocked"), RENAMED),
    Case("C threads", "connections anew", "connection-churn", c("threads", "none"), HEY_ANEW),
    Case("C threads", "tiny send buffer", "send-buffer-too-small", c("threads", "sndbuf"), WRK),
    Case("C threads", "large responses", "", c("threads", "large"), WRK),
    # Pool
    Case("C pool", "none", "", c("pool", "none"), H2LOAD, frozenset({"epoll-ctl-churn"})),
    Case("C pool", "backend", "waits-for-backend", c("pool", "backend"), H2LOAD, frozenset({"epoll-ctl-churn"})),
    Case("C pool", "lock", "lock-contention", c("pool", "lock"), H2LOAD, frozenset({"epoll-ctl-churn"})),
    # Python
    Case("Python loop", "none", "", python("loop", "none"), RENAMED),
    Case("Python loop", "sleep", "blocking-in-event-loop", python("loop", "sleep")),
    Case("Python loop", "Nagle", "delayed-ack", python("loop", "nagle")),
    Case("Python threads", "backend", "waits-for-backend", python("threads", "backend"), HEY,
         frozenset({"lock-contention"})),
    Case("Python threads", "lock", "lock-contention", python("threads", "lock"), HEY),
    Case("Python prefork", "failing calls", "failing-calls", python("prefork", "failing"), WRK,
         frozenset({"syscalls-per-request"})),
    # Node
    Case("Node loop", "none", "", node("loop", "none")),
    Case("Node loop", "fsync", "storage-wait", node("loop", "fsync"), H2LOAD, _EVENT_LOOP),
    Case("Node loop", "sleep", "blocking-in-event-loop", node("loop", "sleep"), HEY, frozenset({"lock-contention"})),
    Case("Node loop", "backend connected anew", "connection-churn", node("loop", "reconnect"), WRK, _CHURN_ALSO),
    Case("Node loop", "backend kept", "", node("loop", "backend"), WRK, frozenset({"waits-for-backend"})),
    Case("Node loop", "failing calls", "failing-calls", node("loop", "failing"), WRK,
         frozenset({"syscalls-per-request"})),
    Case("Node prefork", "none", "", node("prefork", "none"), H2LOAD_PACED, paced=True),
    # Go
    Case("Go goroutines", "none", "", go("goroutines", "none"), RENAMED),
    Case("Go goroutines", "fsync", "storage-wait", go("goroutines", "fsync"), HEY),
    Case("Go goroutines", "page faults", "page-fault-cost", go("goroutines", "faults")),
    Case("Go goroutines", "backend connected anew", "connection-churn", go("goroutines", "reconnect"), WRK,
         _CHURN_ALSO),
    Case("Go goroutines", "CPU quota", "cpu-quota", limited(go("goroutines", "none"), 0.3)),
    # Stock servers
    Case("nginx", "none", "", stock(_NGINX, _nginx())),
    Case("nginx", "upstream without keepalive", "connection-churn",
         stock(_NGINX, _nginx(_UPSTREAM % "", _PROXY % "close"), True), WRK, _CHURN_ALSO),
    Case("nginx", "upstream with keepalive", "",
         stock(_NGINX, _nginx(_UPSTREAM % "keepalive 64;", _PROXY % ""), True), WRK),
    Case("nginx", "connections anew", "connection-churn", stock(_NGINX, _nginx(http="keepalive_timeout 0;")), HEY,
         _CHURN_ALSO),
    Case("nginx", "CPU quota", "cpu-quota", limited(stock(_NGINX, "master_process off;" + _nginx(workers=1)), 0.2)),
    Case("haproxy", "servers closed", "connection-churn",
         stock("haproxy -db -f {folder}/configuration", _HAPROXY % "http-reuse never\n option http-server-close", True),
         WRK, _CHURN_ALSO),
    Case("haproxy", "servers kept", "",
         stock("haproxy -db -f {folder}/configuration", _HAPROXY % "http-reuse always", True), H2LOAD),
    Case("apache prefork", "KeepAlive Off", "connection-churn",
         stock(_APACHE_COMMAND, _APACHE % {"mpm": "prefork", "keepalive": "Off"}), HEY, _CHURN_ALSO),
    Case("apache event", "KeepAlive On", "", stock(_APACHE_COMMAND, _APACHE % {"mpm": "event", "keepalive": "On"}),
         HEY, frozenset({"epoll-ctl-churn"})),
    Case("lighttpd", "no keep-alive", "connection-churn", stock(_LIGHTTPD_COMMAND, _LIGHTTPD % 0), HEY, _CHURN_ALSO),
    Case("lighttpd", "keep-alive", "", stock(_LIGHTTPD_COMMAND, _LIGHTTPD % 1_000_000), RENAMED),
    Case("redis", "appendfsync always", "storage-wait", stock(_REDIS % ("yes", "always")), REDIS_RATE, _EVENT_LOOP),
    Case("redis", "no file", "", stock(_REDIS % ("no", "no")), REDIS_RATE),
    Case("memcached", "none", "", stock("memcached -u nobody -l 127.0.0.1 -p {port} -t 2"),
         ("pipelining", _MEMCACHED_CLIENT)),
    Case("memcached", "CPU quota", "cpu-quota",
         limited(stock("memcached -u nobody -l 127.0.0.1 -p {port} -t 2"), 0.1), ("pipelining", _MEMCACHED_CLIENT)),
    Case("postgres", "synchronous commit", "storage-wait", postgres(""), PGBENCH, frozenset({"lock-contention"})),
    Case("postgres", "read only", "", postgres(""), PGBENCH_READ),
    Case("postgres", "a connection per transaction", "connection-churn", postgres(""), PGBENCH_ANEW,
         frozenset({"page-fault-cost", "syscalls-per-request", "epoll-ctl-churn"})),
    Case("unbound", "small receive buffer", "receive-drops", stock(_UNBOUND_COMMAND, _UNBOUND % "4k"), DNSPERF),
    Case("unbound", "none", "", stock(_UNBOUND_COMMAND, _UNBOUND % "4m"), DNSPERF),
    Case("unbound", "none, paced", "", stock(_UNBOUND_COMMAND, _UNBOUND % "4m"), DNSPERF_PACED, paced=True),
]  # fmt: skip


@contextmanager
def _load(case: Case, folder: Path, port: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    if isinstance(case.load, tuple):
        command = [sys.executable, "-c", case.load[1], str(port), str(seconds)]
    else:
        values = {"port": port, "seconds": int(seconds), "folder": folder, "postgres": _POSTGRES}
        command = case.load.format(**values).split()
        if command[0].endswith("/loader"):
            shutil.copy(shutil.which("wrk") or "wrk", command[0])
    (folder / "queries").write_text("a.test A\n")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def record(case: Case, seconds: float, keep: Path | None = None) -> Outcome:
    """Start a case and record it once, for this time. `keep`: a folder for the Run."""
    outcome = Outcome(case)
    with tempfile.TemporaryDirectory(prefix="truth-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        server = case.start(folder, stack)
        with _load(case, folder, server.port, seconds + _LOAD_MARGIN_S) as load:
            time.sleep(_WARM_UP_S)
            run = (keep or folder) / re.sub(r"\W+", "-", case.name)
            options = ["-p", server.pid, "-d", seconds, "--json", "-o", run]
            done = subprocess.run(
                [*map(str, [sys.executable, "-m", "netprobe", "record", *options])],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            report, _ = load.communicate(timeout=30)
    if done.returncode:
        raise RuntimeError(f"{case.name}: {done.stderr}")
    document = json.loads(done.stdout)
    outcome.findings = [
        (found["code"], found["severity"], found["estimated_cost_pct"], found["summary"])
        for found in document["findings"]
    ]
    outcome.inconclusive = [result["code"] for result in document["inconclusive"]]
    outcome.verdict = (document.get("verdict") or {}).get("state", "")
    if rates := [float(next(filter(None, found))) for found in _RATE.findall(report.replace("\r", "\n"))]:
        outcome.requests_per_s = rates[-1]
    return outcome


def _saved(outcomes: list[Outcome], rates: dict[str, list[float]]) -> dict[str, float]:
    """1 - (requests with the fault / requests without it) in percent, of cases whose server also runs without it."""
    found = {}
    for case in {outcome.case.name: outcome.case for outcome in outcomes}.values():
        healthy = [
            statistics.median(rates[other.name])
            for other in CASES
            if not other.code and not other.paced and other.server == case.server and any(rates.get(other.name, []))
        ]
        if case.code and not case.paced and healthy and any(rates[case.name]):
            found[case.name] = 100 * (1 - statistics.median(rates[case.name]) / max(healthy))
    return found


def table(outcomes: list[Outcome]) -> bool:
    """Print the results by case and the totals; return whether the bars are met."""
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        rates[outcome.case.name].append(outcome.requests_per_s)
    saved = _saved(outcomes, rates)
    print(f"\n{'case':46} {'fault':24} {'rank':>4} {'est':>4} {'saved':>5} {'req/s':>8}  irrelevant above note | notes")
    for outcome in outcomes:
        case = outcome.case
        cost = next((cost for code, _, cost, _ in outcome.findings if code == case.code), None)
        other = ", ".join(outcome.irrelevant(False)) or "-"
        notes = ", ".join(outcome.irrelevant(True)) or "-"
        print(
            f"{case.name:46} {case.code or '-':24} {outcome.rank or '-':>4} "
            f"{'-' if cost is None else format(cost, '.0f'):>4} "
            f"{format(saved[case.name], '.0f') if case.name in saved else '-':>5} {outcome.requests_per_s:8.0f}  "
            f"{other} | {notes} | inconclusive: {', '.join(outcome.inconclusive) or '-'}"
        )
    faulty = [outcome for outcome in outcomes if outcome.case.code]
    healthy = [outcome for outcome in outcomes if not outcome.case.code]
    ranked = sum(outcome.rank in (1, 2) for outcome in faulty)
    silent = sum(not outcome.irrelevant(False) for outcome in healthy)
    notes_each = sum(len(outcome.irrelevant(True)) for outcome in outcomes) / max(1, len(outcomes))
    pairs = [
        (cost, saved[outcome.case.name])
        for outcome in faulty
        for code, _, cost, _ in outcome.findings
        if code == outcome.case.code and outcome.case.name in saved
    ]
    near = sum(cost <= 2 * real and real <= 2 * cost for cost, real in pairs)
    print(
        f"\nFault first or second: {ranked} of {len(faulty)} (bar: all)\n"
        f"Without a fault, no finding above note: {silent} of {len(healthy)} (bar: all)\n"
        f"Irrelevant notes per recording: {notes_each:.2f} (bar: 1)\n"
        f"Estimate within a factor of two of what was saved: {near} of {len(pairs)} (bar: 80 %)"
    )
    return ranked == len(faulty) and silent == len(healthy) and notes_each <= 1 and near >= 0.8 * len(pairs)


def run(only: list[str], times: int, seconds: float, keep: Path | None = None) -> list[Outcome]:
    """Record the selected cases this number of times; prints the findings of each."""
    chosen = [case for case in CASES if not only or any(text in case.name for text in only)]
    outcomes = []
    for number in range(times):
        for case in chosen:
            try:
                outcome = record(case, seconds, keep / str(number) if keep else None)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                # A server that does not start is a missing result; the others are recorded.
                print(f"  {case.name:46} NOT RECORDED: {error}", flush=True)
                outcome = Outcome(case, inconclusive=["not recorded"])
            outcomes.append(outcome)
            print(f"  {case.name:46} rank {outcome.rank or '-'} of {case.code or 'no fault'} [{outcome.verdict}]")
            for code, severity, cost, summary in outcome.findings:
                mark = " " if code == case.code or code in case.also else "!"
                print(f"    {mark} {severity:5} {cost:5.1f} % {code}: {summary}", flush=True)
    return outcomes


def main() -> None:
    """Record the cases that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--folder", type=Path, help="keep the Runs here")
    arguments = parser.parse_args()
    if arguments.folder:
        for number in range(arguments.times):
            (arguments.folder / str(number)).mkdir(parents=True, exist_ok=True)
    sys.exit(not table(run(arguments.only, arguments.times, arguments.seconds, arguments.folder)))


if __name__ == "__main__":
    main()
