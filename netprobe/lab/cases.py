"""Labelled cases: a server with known faults under load, and the codes of the findings that must name them.

Two CPUs are enough for each. `running(case)` brings one up and takes everything down again.

Three findings have no case, since no switch of the lab makes them on every machine:

- `mitigation-cost`: what mitigations take is the processor's and the boot parameters', which a case cannot change.
- `unknown-frames`: the lab server spends too little time outside the kernel for a stripped copy of it to reach 15 %.
- `poll-mode`: needs DPDK, which is not everywhere; the tests record dpdk-testpmd where it is installed.
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

_WAIT_SECONDS = 10.0
# Longer than any recording of a case.
_LOAD_SECONDS = 60
_PORT = 18080
_BUSY_READ = Path("/proc/sys/net/core/busy_read")


@dataclass(frozen=True)
class Place:
    """What runs: the server's process id, and the namespaces where there are some."""

    pid: int
    network: Lab | None


Step = Callable[[Place], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Case:
    """One configuration, and what is wrong with it.

    `codes`: the findings that are right, none of them where nothing is wrong. `also`: findings that are no fault of
    the case and no false alarm. `network` None: loopback. `script`: a Python server instead of the lab server; its
    arguments are the address and the port. `prepare` steps come before the server starts (the Place has no process
    then), `change` steps after it listens. `load_cpus`: wrk on each of them with `connections` connections.
    """

    name: str
    codes: frozenset[str]
    server: ServerOptions = field(default_factory=ServerOptions)
    network: LabOptions | None = None
    prepare: tuple[Step, ...] = ()
    change: tuple[Step, ...] = ()
    load_cpus: tuple[int, ...] = (1,)
    connections: int = 16
    script: str = ""
    also: frozenset[str] = frozenset()


@contextmanager
def running(case: Case) -> Iterator[int]:
    """The case's server under load, as its process id."""
    with ExitStack() as stack:
        network = stack.enter_context(lab(case.network)) if case.network else None
        for step in case.prepare:
            stack.enter_context(step(Place(0, network)))
        pid, address, port = stack.enter_context(_server(case, network))
        for step in case.change:
            stack.enter_context(step(Place(pid, network)))
        within = ["ip", "netns", "exec", network.client.namespace] if network else []
        for cpu in case.load_cpus:
            wrk = wrk_command(f"http://{address}:{port}/", _LOAD_SECONDS, case.connections)
            stack.enter_context(_process([*within, "taskset", "-c", str(cpu), *wrk]))
        yield pid


@contextmanager
def _server(case: Case, network: Lab | None) -> Iterator[tuple[int, str, int]]:
    """Process id, address and port."""
    if case.script:
        command = ["taskset", "-c", "0", sys.executable, "-c", case.script, "127.0.0.1", str(_PORT)]
        with _process(command) as one:
            _wait(lambda: _listens(one.pid), "the small server")
            yield one.pid, "127.0.0.1", _PORT
        return
    address = network.server.address if network else case.server.address
    namespace = network.server.namespace if network else None
    with LabServer(replace(case.server, address=address), namespace=namespace) as server:
        yield server.pid, server.address, server.port


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    none = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=none, stdout=none, stderr=none) as one:
        try:
            yield one
        finally:
            one.kill()


def _wait(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise NetprobeError(f"{what} did not start within {_WAIT_SECONDS:.0f} s")
        time.sleep(0.02)


def _listens(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(words[3] == "0A" and words[1].endswith(f":{_PORT:04X}") for words in map(str.split, lines))


# ---- What is done beside the server ----


@contextmanager
def xps(place: Place) -> Iterator[None]:
    """A transmit queue for each CPU; goes with the namespace."""
    assert place.network
    end = place.network.server
    folder = f"/sys/class/net/{end.device}/queues"
    command = f"echo 1 >{folder}/tx-0/xps_cpus; echo 2 >{folder}/tx-1/xps_cpus"
    subprocess.run(["ip", "netns", "exec", end.namespace, "sh", "-c", command], check=True, timeout=_WAIT_SECONDS)
    yield


@contextmanager
def busy_read(place: Place) -> Iterator[None]:
    """Sockets from now on have SO_BUSY_POLL."""
    before = _BUSY_READ.read_text()
    _BUSY_READ.write_text("50\n")
    try:
        yield
    finally:
        _BUSY_READ.write_text(before)


@contextmanager
def loose(place: Place) -> Iterator[None]:
    """The second reactor may run on both CPUs."""
    names = {int(task.name): (task / "comm").read_text().strip() for task in Path(f"/proc/{place.pid}/task").iterdir()}
    (tid,) = (tid for tid, name in names.items() if name == "reactor-1")
    os.sched_setaffinity(tid, {0, 1})
    yield


@contextmanager
def competitor(place: Place) -> Iterator[None]:
    """A program that wants CPU 0 as well, and has to take it from a thread that never sleeps."""
    name = "with open('/proc/self/comm', 'w') as comm: comm.write('batch-job')"
    command = ["taskset", "-c", "0", "nice", "-n", "3", sys.executable, "-c", f"{name}\nwhile True: pass"]
    with _process(command) as one:
        _wait(lambda: Path(f"/proc/{one.pid}/comm").read_text() == "batch-job\n", "the competitor")
        yield


@contextmanager
def tap(place: Place) -> Iterator[None]:
    """Somebody listens to all packets of the namespace."""
    assert place.network
    script = f"import socket, time; s = socket.socket({socket.AF_PACKET:d}, {socket.SOCK_RAW:d}, socket.htons(3))"
    command = ["ip", "netns", "exec", place.network.server.namespace, sys.executable, "-c", f"{script}; time.sleep(60)"]
    with _process(command) as one:
        _wait(lambda: len(Path(f"/proc/{one.pid}/net/packet").read_text().splitlines()) > 1, "the tap")
        yield


# ---- The cases ----

# Two reactors, each on the CPU of a load generator: what one sends stays on its CPU.
_TWO = Case("", frozenset(), ServerOptions(threads=2, cpus=(0, 1), steer="cbpf"), load_cpus=(0, 1))
# One reactor on CPU 0 and the load generator on CPU 1, with a device between.
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
    """The base with the server's options, the network's (a dict) and the case's own fields changed."""
    own = {key: change.pop(key) for key in tuple(change) if key in Case.__dataclass_fields__}
    given: dict[str, Any] = {"server": replace(base.server, **change), **own}
    if network:
        given["network"] = replace(base.network or LabOptions(queues=1), **network)
    return replace(base, name=name, codes=frozenset(codes), **given)


RIGHT = (
    _case(_TWO, "right on loopback"),
    _case(_POLLING, "right with busy polling"),
    _case(_WAITING, "right with packets brought to the reactor", network={"rps_cpus": (0,)}),
    _case(
        _WAITING,
        "right with a queue for each CPU",
        network={"rps_cpus": (0,), "queues": 2},
        prepare=(xps,),
        connections=32,
    ),
)

# Faults that can be had together with others on the same base, as (code, change).
_ON_LOOPBACK: dict[str, dict[str, Any]] = {
    "reuseport-order": {"listen_order": "reversed"},
    "reuseport-unsteered": {"steer": "none"},
    "listener-thread-unpinned": {"change": (loose,)},
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
# One of these takes away what the other is seen by.
_EXCLUSIVE = {
    # There is no order to be wrong without steering, nor a wrong CPU for a thread that may run anywhere.
    frozenset({"reuseport-order", "reuseport-unsteered"}),
    frozenset({"reuseport-order", "listener-thread-unpinned"}),
    # Where a timeout of 0 keeps polling from starting, or work takes all the time, nobody is late for a packet.
    frozenset({"epoll-zero-timeout", "busy-poll-softirq-first"}),
    frozenset({"hot-frame", "busy-poll-softirq-first"}),
    # 50 µs of work a request hide what costs 1 % of it.
    frozenset({"hot-frame", "read-on-sockets"}),
    frozenset({"hot-frame", "kernel-hooks"}),
    frozenset({"hot-frame", "epoll-zero-timeout"}),
}

ALONE = (
    *(_case(_TWO, f"{code} on loopback", code, **change) for code, change in _ON_LOOPBACK.items()),
    *(_case(_POLLING, f"{code} with busy polling", code, **change) for code, change in _ON_DEVICE.items()),
    _case(_TWO, "an unknown program steers wrong", "locality-broken", steer="ebpf", listen_order="reversed"),
    _case(_TWO, "answers kept to the end of the round", "flush-batched", flush="batched"),
    _case(
        _WAITING,
        "packets for another CPU",
        "locality-broken",
        network={"rps_cpus": (1,)},
        # Its CPU is idle until another one has woken it: a poller would take the packets itself.
        also=frozenset({"busy-poll-disabled"}),
    ),
    _case(_WAITING, "sockets poll where epoll waits", "busy-poll-disabled", prepare=(busy_read,)),
    _case(
        _POLLING,
        "two queues in one set",
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
        "rearmed for each message",
        frozenset({"epoll-ctl-churn"}),
        script=_SMALL.replace("REARM", "1").replace("CALLS", "0"),
        also=frozenset({"hot-frame"}),  # the interpreter's own loop
        connections=8,
    ),
    Case(
        "calls that no request needs",
        frozenset({"syscalls-per-request"}),
        script=_SMALL.replace("REARM", "0").replace("CALLS", "1"),
        also=frozenset({"hot-frame"}),
        connections=8,
    ),
)


def _pairs(base: Case, where: str, faults: dict[str, dict[str, Any]]) -> Iterator[Case]:
    for first, second in itertools.combinations(faults, 2):
        if {first, second} not in _EXCLUSIVE:
            yield _case(base, f"{first} and {second} {where}", first, second, **faults[first], **faults[second])


PAIRS = (*_pairs(_TWO, "on loopback", _ON_LOOPBACK), *_pairs(_POLLING, "with busy polling", _ON_DEVICE))
CASES = (*RIGHT, *ALONE, *PAIRS)
