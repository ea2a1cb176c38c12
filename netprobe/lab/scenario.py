"""The steps of the article's scenario, and what else is measured beside it: a server for each, and how it is reached.

Every step fixes what netprobe names on the step below. The clients share the server's CPUs, one load generator on
each: over a veth pair a packet is received on the CPU that sent it, so this is what decides where packets arrive.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from netprobe.lab.errors import LabError
from netprobe.lab.load import Load
from netprobe.lab.namespaces import End, Lab, LabOptions, lab
from netprobe.lab.server import Server, ServerOptions

_MOST_REACTORS = 4
_BUSY_POLL_US = 50
# On the highest step both are longer than on a machine that serves others: the client shares the poller's CPU, gets it
# only when its turn has come, and a poll that has ended in vain is not begun again before the next interrupt.
_PREFERRED_US, _FLUSH_NS = 5_000, 10_000_000
_COMMAND_SECONDS = 20.0
CONNECTIONS = 16
"""Of each load generator."""


@dataclass(frozen=True)
class Step:
    """One state of the server and its device."""

    name: str
    """Short, for file names."""
    words: str
    """What is different from the step below."""
    server: ServerOptions
    fault: str = ""
    """The finding that the next step is to fix."""
    deferred: bool = False
    """The server's device leaves packets to a busy poller."""
    varies: str = ""
    """Not a step, but another way for the step of this name."""

    @property
    def beside(self) -> bool:
        """Whether it stands beside the scenario."""
        return bool(self.varies)


def reactors() -> int:
    """How many reactors the scenario's server has here: one on each of the first CPUs. Raises `LabError` for one CPU."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2 or cpus != list(range(len(cpus))):
        raise LabError(
            "The scenario needs at least two CPUs, numbered from 0 on, and may run on "
            f"{', '.join(map(str, cpus)) or 'none'}.",
            hint="Run it outside of taskset, on a machine or in a container with two CPUs or more.",
        )
    return min(_MOST_REACTORS, len(cpus))


def steps(count: int) -> list[Step]:
    """The scenario for so many reactors, from the stock server up; then what stands beside it."""
    cpus = tuple(range(count))
    stock = ServerOptions(
        threads=count, epoll_timeout_us=0, quota_timer_us=500, receive="read", flush="batched"
    )  # fmt: skip
    steered = replace(stock, cpus=cpus, steer="cbpf", listen_order="reversed")
    ordered = replace(steered, listen_order=())
    waiting = replace(ordered, epoll_timeout_us=100)
    ticking_less = replace(waiting, quota_timer_us=10_000)
    receiving = replace(ticking_less, receive="recv")
    flushing = replace(receiving, flush="now")
    polling = replace(flushing, busy_poll_us=_PREFERRED_US, prefer=True)
    # io_uring's loop waits for completions; it has no epoll set that would be given a timeout.
    ring = replace(flushing, backend="io_uring", epoll_timeout_us=-1)
    forked = replace(flushing, processes=count)
    return [
        Step("stock", "no steering, not pinned, read, timeout 0, quota 0.5 ms, batched flush", stock,
             "reuseport-unsteered"),
        Step("steered", "pinned and steered by CPU, but listening in the wrong order", steered, "reuseport-order"),
        Step("ordered", "listening in the order of the CPUs", ordered, "epoll-zero-timeout"),
        Step("waiting", "epoll waits 100 µs", waiting, "timer-thread-switching"),
        Step("quota", "quota timer of 10 ms", ticking_less, "read-on-sockets"),
        Step("recv", "recv instead of read", receiving, "flush-batched"),
        Step("flush", "answers are sent at once", flushing, "busy-poll-softirq-first"),
        Step("polling", "interrupts deferred, busy polling preferred", polling, deferred=True),
        Step("io_uring", "step 7 with io_uring instead of epoll", ring, varies="flush"),
        Step("pre-fork", "step 7 with processes instead of threads", forked, varies="flush"),
    ]  # fmt: skip


class Bed:
    """The namespaces with one queue a reactor; `serve` puts a step's server into them."""

    def __init__(self, up: Lab, count: int) -> None:
        self._up, self._count = up, count

    @contextmanager
    def serve(self, step: Step) -> Iterator[Server]:
        """The server of a step, running."""
        _defer(self._up.server, step.deferred)
        options = replace(step.server, address=self._up.server.address)
        with Server(options, namespace=self._up.server.namespace) as server:
            yield server

    def load(self, server: Server, seconds: int) -> Load:
        """A load generator on each reactor's CPU."""
        return Load(
            f"http://{server.address}:{server.port}/",
            seconds,
            tuple(str(cpu) for cpu in range(self._count)),
            CONNECTIONS,
            namespace=self._up.client.namespace,
        )


@contextmanager
def bed(count: int) -> Iterator[Bed]:
    """The test bed for so many reactors, with `net.core.busy_poll` on; all of it goes with the block."""
    with lab(LabOptions(queues=count, busy_poll_us=_BUSY_POLL_US)) as up:
        for end in (up.server, up.client):
            for cpu in range(count):
                _write(end, f"/sys/class/net/{end.device}/queues/tx-{cpu}/xps_cpus", f"{1 << cpu:x}")
        yield Bed(up, count)


def _defer(end: End, deferred: bool) -> None:
    _write(end, f"/sys/class/net/{end.device}/napi_defer_hard_irqs", "2" if deferred else "0")
    _write(end, f"/sys/class/net/{end.device}/gro_flush_timeout", str(_FLUSH_NS) if deferred else "0")


def _write(end: End, path: str, value: str) -> None:
    # Only `ip netns exec` mounts the /sys that shows a namespace's devices.
    done = subprocess.run(
        ["ip", "netns", "exec", end.namespace, "tee", path],
        input=value, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"{path} cannot be set to {value}: {done.stderr.strip()}")
