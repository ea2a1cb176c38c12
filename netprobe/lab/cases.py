"""Labelled cases: a server with known faults under load, and the codes of the findings that are expected.

Two CPUs are enough for each case. `running(case)` starts the server and its load, and stops everything at the end.

Faults of servers that the lab does not have are cases of `bench/truth_servers.py`. Six findings have no case:

- `mitigation-cost`: the cost depends on the processor and the boot parameters, which a case cannot change.
- `unknown-frames`: the lab server spends too little time outside the kernel for a stripped copy to reach 15 %.
- `poll-mode`: needs DPDK, which is not always available; the tests record dpdk-testpmd if it is installed.
- `uneven-load`: a test records a small server that gives all connections to one of its threads.
- `too-few-workers`: needs idle CPUs beside server and load, more than two.
- `retransmissions`: needs a path that loses packets.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netprobe.errors import NetprobeError
from netprobe.lab.namespaces import Lab, LabOptions, lab
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command
from netprobe.procfs import listening_sockets

_WAIT_SECONDS = 10.0
# Longer than the recording of any case.
_LOAD_SECONDS = 60
_PORT = 18080
_BUSY_READ = Path("/proc/sys/net/core/busy_read")


@dataclass(frozen=True)
class RunningServer:
    """The PID of the server, and its namespaces if there are any."""

    pid: int
    network: Lab | None


Action = Callable[[RunningServer], AbstractContextManager[Any]]
"""A condition beside the server, in effect while the context is entered."""


@dataclass(frozen=True)
class Case:
    """One configuration, and its expected findings.

    `codes`: the expected findings; empty if there is no fault. `also`: findings that are neither expected nor false
    positives. `network` None: loopback. `script`: a Python server instead of the lab server; its arguments are the
    address and the port. `prepare`: actions before the server starts (the PID is 0); `change`: actions after it
    listens. `load_cpus`: CPUs of wrk, with `connections` connections on each.
    """

    name: str
    codes: frozenset[str]
    server: ServerOptions = field(default_factory=ServerOptions)
    network: LabOptions | None = None
    prepare: tuple[Action, ...] = ()
    change: tuple[Action, ...] = ()
    load_cpus: tuple[int, ...] = (1,)
    connections: int = 16
    script: str = ""
    also: frozenset[str] = frozenset()


@contextmanager
def running(case: Case) -> Iterator[int]:
    """Run the server of the case under load; the PID of the server."""
    with ExitStack() as stack:
        network = stack.enter_context(lab(case.network)) if case.network else None
        for action in case.prepare:
            stack.enter_context(action(RunningServer(0, network)))
        pid, address, port = stack.enter_context(_server(case, network))
        for action in case.change:
            stack.enter_context(action(RunningServer(pid, network)))
        within = ["ip", "netns", "exec", network.client.namespace] if network else []
        for cpu in case.load_cpus:
            wrk = wrk_command(f"http://{address}:{port}/", _LOAD_SECONDS, case.connections)
            stack.enter_context(_process([*within, "taskset", "-c", str(cpu), *wrk]))
        yield pid


@contextmanager
def _server(case: Case, network: Lab | None) -> Iterator[tuple[int, str, int]]:
    """PID, address and port."""
    if case.script:
        command = ["taskset", "-c", "0", sys.executable, "-c", case.script, "127.0.0.1", str(_PORT)]
        with _process(command) as process:
            _wait(lambda: _listens(process.pid), "The Python server")
            yield process.pid, "127.0.0.1", _PORT
        return
    address = network.server.address if network else case.server.address
    namespace = network.server.namespace if network else None
    with LabServer(replace(case.server, address=address), namespace=namespace) as server:
        yield server.pid, server.address, server.port


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    none = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=none, stdout=none, stderr=none) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait(condition: Callable[[], object], name: str) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise NetprobeError(f"{name} did not start within {_WAIT_SECONDS:.0f} s.")
        time.sleep(0.02)


def _listens(pid: int) -> bool:
    return any(found.port == _PORT for found in listening_sockets(pid))


# ---- Actions ----


@contextmanager
def xps(server: RunningServer) -> Iterator[None]:
    """One transmit queue per CPU; removed with the namespace."""
    assert server.network
    end = server.network.server
    folder = f"/sys/class/net/{end.device}/queues"
    command = f"echo 1 >{folder}/tx-0/xps_cpus; echo 2 >{folder}/tx-1/xps_cpus"
    subprocess.run(["ip", "netns", "exec", end.namespace, "sh", "-c", command], check=True, timeout=_WAIT_SECONDS)
    yield


@contextmanager
def busy_read(server: RunningServer) -> Iterator[None]:
    """SO_BUSY_POLL on new sockets."""
    before = _BUSY_READ.read_text()
    _BUSY_READ.write_text("50\n")
    try:
        yield
    finally:
        _BUSY_READ.write_text(before)


@contextmanager
def unpinned(server: RunningServer) -> Iterator[None]:
    """The second reactor is allowed to run on both CPUs."""
    names = {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{server.pid}/task").iterdir()}
    (tid,) = (tid for tid, name in names.items() if name == "reactor-1")
    os.sched_setaffinity(tid, {0, 1})
    yield


@contextmanager
def competitor(server: RunningServer) -> Iterator[None]:
    """A program that competes for CPU 0 with a thread that never sleeps."""
    name = "with open('/proc/self/comm', 'w') as comm: comm.write('batch-job')"
    command = ["taskset", "-c", "0", "nice", "-n", "3", sys.executable, "-c", f"{name}\nwhile True: pass"]
    with _process(command) as process:
        _wait(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "batch-job\n", "The competitor")
        yield


@contextmanager
def tap(server: RunningServer) -> Iterator[None]:
    """A packet socket that receives all packets of the namespace."""
    assert server.network
    script = f"import socket, time; s = socket.socket({socket.AF_PACKET:d}, {socket.SOCK_RAW:d}, socket.htons(3))"
    command = [
        "ip",
        "netns",
        "exec",
        server.network.server.namespace,
        sys.executable,
        "-c",
        f"{script}; time.sleep(60)",
    ]
    with _process(command) as process:
        _wait(lambda: len(Path(f"/proc/{process.pid}/net/packet").read_text().splitlines()) > 1, "The tap")
        yield


# ---- The cases ----

# Two reactors, each on the CPU of a load generator: packets are received on the CPU that sent them.
_TWO = Case("", frozenset(), ServerOptions(threads=2, cpus=(0, 1), steer="cbpf"), load_cpus=(0, 1))
# One reactor on CPU 0 and the load generator on CPU 1, connected by a device.
_POLLING = Case(
    "",
    frozenset(),
    ServerOptions(cpus=(0,), busy_poll_us=200, prefer=True),
    LabOptions(queues=1, busy_poll_us=50, defer=True),
)
_WAITING = replace(_POLLING, server=ServerOptions(cpus=(0,)), network=LabOptions(queues=1))

_SMALL = """
import os, select, socket, sys
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
waiting = select.epoll()
waiting.register(listening, select.EPOLLIN)
connections = {}
while True:
    for number, _ in waiting.poll():
        if number == listening.fileno():
            one, _ = listening.accept()
            connections[one.fileno()] = one
            waiting.register(one, select.EPOLLIN | select.EPOLLONESHOT * REARM)
        elif not connections[number].recv(4096):
            waiting.unregister(number)
            connections.pop(number).close()
        else:
            connections[number].send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
            for _ in range(5 * CALLS):
                os.getppid()
            if REARM:
                waiting.modify(number, select.EPOLLIN | select.EPOLLONESHOT)
"""


def _case(base: Case, name: str, *codes: str, network: dict[str, Any] | None = None, **change: Any) -> Case:
    """The base with changed options of the server, of the network (a dict), and changed fields of the case."""
    fields = {key: change.pop(key) for key in tuple(change) if key in Case.__dataclass_fields__}
    given: dict[str, Any] = {"server": replace(base.server, **change), **fields}
    if network:
        given["network"] = replace(base.network or LabOptions(queues=1), **network)
    return replace(base, name=name, codes=frozenset(codes), **given)


NO_FAULT = (
    _case(_TWO, "no fault on loopback"),
    _case(_POLLING, "no fault with busy polling"),
    _case(_WAITING, "no fault with packets steered to the reactor", network={"rps_cpus": (0,)}),
    _case(
        _WAITING,
        "no fault with one queue per CPU",
        network={"rps_cpus": (0,), "queues": 2},
        prepare=(xps,),
        connections=32,
    ),
)

# Faults that can be combined with others on the same base: code -> change.
_ON_LOOPBACK: dict[str, dict[str, Any]] = {
    "reuseport-order": {"listen_order": "reversed"},
    "reuseport-unsteered": {"steer": "none"},
    "listener-thread-unpinned": {"change": (unpinned,)},
    "timer-thread-switching": {"quota_timer_us": 500},
    "read-on-sockets": {"receive": "read"},
    "epoll-zero-timeout": {"epoll_timeout_us": 0},
}
_ON_DEVICE: dict[str, dict[str, Any]] = {
    "timer-thread-switching": {"quota_timer_us": 500},
    "read-on-sockets": {"receive": "read"},
    "epoll-zero-timeout": {"epoll_timeout_us": 0},
    "busy-poll-softirq-first": {"network": {"defer": False}},
    "hot-frame": {"work_us": 50},
    "kernel-hooks": {"prepare": (tap,)},
}
# One of the two faults removes the evidence of the other.
_EXCLUSIVE = {
    # Without steering no order is wrong, and an unpinned thread has no wrong CPU.
    frozenset({"reuseport-order", "reuseport-unsteered"}),
    frozenset({"reuseport-order", "listener-thread-unpinned"}),
    # With a zero timeout polling does not start, and work takes all the time: no poll comes too late for a packet.
    frozenset({"epoll-zero-timeout", "busy-poll-softirq-first"}),
    frozenset({"hot-frame", "busy-poll-softirq-first"}),
    # 50 µs of work per request hide a fault that costs 1 %.
    frozenset({"hot-frame", "read-on-sockets"}),
    frozenset({"hot-frame", "kernel-hooks"}),
    frozenset({"hot-frame", "epoll-zero-timeout"}),
}

ALONE = (
    *(_case(_TWO, f"{code} on loopback", code, **change) for code, change in _ON_LOOPBACK.items()),
    *(_case(_POLLING, f"{code} with busy polling", code, **change) for code, change in _ON_DEVICE.items()),
    _case(_TWO, "an unknown program steers to the wrong CPU", "locality-broken", steer="ebpf", listen_order="reversed"),
    _case(_TWO, "responses queued until the end of the iteration", "flush-batched", flush="batched"),
    _case(
        _WAITING,
        "packets for another CPU",
        "locality-broken",
        network={"rps_cpus": (1,)},
        # The CPU of the reactor is idle until it is woken up: busy polling would receive the packets there.
        also=frozenset({"busy-poll-disabled"}),
    ),
    _case(_WAITING, "busy polling of sockets but not of epoll", "busy-poll-disabled", prepare=(busy_read,)),
    _case(
        _POLLING,
        "two queues in one epoll set",
        "busy-poll-mixed-napi",
        network={"queues": 2},
        prepare=(xps,),
        connections=32,
    ),
    replace(_case(_POLLING, "busy polling over loopback", "busy-poll-no-napi"), network=None),
    _case(
        _WAITING,
        "transmit queues by hash",
        "tx-queue-elsewhere",
        network={"rps_cpus": (0,), "queues": 2},
        connections=32,
    ),
    _case(_POLLING, "a competitor on the reactor's CPU", "reactor-preempted", prepare=(competitor,)),
    Case(
        "rearmed per message",
        frozenset({"epoll-ctl-churn"}),
        script=_SMALL.replace("REARM", "1").replace("CALLS", "0"),
        also=frozenset({"hot-frame"}),  # the interpreter loop
        connections=8,
    ),
    Case(
        "unnecessary calls per request",
        frozenset({"syscalls-per-request"}),
        script=_SMALL.replace("REARM", "0").replace("CALLS", "1"),
        also=frozenset({"hot-frame"}),
        connections=8,
    ),
)


def _pairs(base: Case, base_name: str, faults: dict[str, dict[str, Any]]) -> Iterator[Case]:
    for first, second in itertools.combinations(faults, 2):
        if {first, second} not in _EXCLUSIVE:
            yield _case(base, f"{first} and {second} {base_name}", first, second, **faults[first], **faults[second])


PAIRS = (*_pairs(_TWO, "on loopback", _ON_LOOPBACK), *_pairs(_POLLING, "with busy polling", _ON_DEVICE))
CASES = (*NO_FAULT, *ALONE, *PAIRS)
