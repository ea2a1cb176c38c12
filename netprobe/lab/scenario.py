"""The steps of the article's scenario and variants of two of them: the server of each step, and its testbed.

Each step fixes the fault that netprobe names on the step before. The load generators share the server's CPUs, one on
each: over a veth pair, a packet is received on the CPU that sent it, so the load generator's CPU is the receiving CPU.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from netprobe.errors import NetprobeError
from netprobe.lab.namespaces import End, Lab, LabOptions, lab
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import Load

_MAX_REACTORS = 4
_BUSY_POLL_US = 50
# Both times of the last step are longer than on a server with a separate client: the client shares the poller's CPU
# and waits for it, and after a poll without packets the next one begins only with the next interrupt.
_PREFERRED_US, _FLUSH_NS = 5_000, 10_000_000
_COMMAND_SECONDS = 20.0
CONNECTIONS = 16
"""Connections of each load generator."""


@dataclass(frozen=True)
class Step:
    """One configuration of the server and its device."""

    name: str
    """Short, for file names."""
    change: str
    """The difference from the step before."""
    server: ServerOptions
    fault: str = ""
    """Code of the finding that the next step fixes."""
    deferred: bool = False
    """Whether interrupts of the server's device are deferred."""
    variant_of: str = ""
    """Name of the step that this is a variant of; empty for a step of the scenario."""

    @property
    def is_variant(self) -> bool:
        """Whether this is a variant of a step."""
        return bool(self.variant_of)


def reactors() -> int:
    """Number of reactors on this machine: one on each of the first CPUs. Raises `NetprobeError` if there is one CPU."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2 or cpus != list(range(len(cpus))):
        raise NetprobeError(
            "The scenario needs at least two CPUs, numbered from 0 on, and is allowed to run on "
            f"{', '.join(map(str, cpus)) or 'none'}.",
            hint="Run it without taskset, on a machine or in a container with two CPUs or more.",
        )
    return min(_MAX_REACTORS, len(cpus))


def steps(count: int) -> list[Step]:
    """The steps for this number of reactors, beginning with the stock server; then the variants."""
    cpus = tuple(range(count))
    stock = ServerOptions(threads=count, epoll_timeout_us=0, quota_timer_us=500, receive="read", flush="batched")
    steered = replace(stock, cpus=cpus, steer="cbpf", listen_order="reversed")
    ordered = replace(steered, listen_order=())
    waiting = replace(ordered, epoll_timeout_us=100)
    ticking_less = replace(waiting, quota_timer_us=10_000)
    receiving = replace(ticking_less, receive="recv")
    flushing = replace(receiving, flush="now")
    polling = replace(flushing, busy_poll_us=_PREFERRED_US, prefer=True)
    # The loop of io_uring waits for completions and has no epoll timeout.
    ring = replace(flushing, backend="io_uring", epoll_timeout_us=-1)
    forked = replace(flushing, processes=count)
    return [
        Step("stock", "no steering, not pinned, read, zero timeout, quota timer of 0.5 ms, deferred writes", stock,
             "reuseport-unsteered"),
        Step("steered", "pinned and steered by CPU, listening in the wrong order", steered, "reuseport-order"),
        Step("ordered", "listening in the order of the CPUs", ordered, "epoll-zero-timeout"),
        Step("waiting", "epoll timeout of 100 µs", waiting, "timer-thread-switching"),
        Step("quota", "quota timer of 10 ms", ticking_less, "read-on-sockets"),
        Step("recv", "recv instead of read", receiving, "flush-batched"),
        Step("flush", "responses are sent at once", flushing, "busy-poll-softirq-first"),
        Step("polling", "interrupts deferred, busy polling preferred", polling, deferred=True),
        Step("io_uring", "step 7 with io_uring instead of epoll", ring, variant_of="flush"),
        Step("pre-fork", "step 7 with processes instead of threads", forked, variant_of="flush"),
    ]  # fmt: skip


class Testbed:
    """The namespaces, with one queue per reactor."""

    def __init__(self, up: Lab, count: int) -> None:
        self._up, self._count = up, count

    @contextmanager
    def serve(self, step: Step) -> Iterator[LabServer]:
        """Run the server of a step."""
        _defer(self._up.server, step.deferred)
        options = replace(step.server, address=self._up.server.address)
        with LabServer(options, namespace=self._up.server.namespace) as server:
            yield server

    def load(self, server: LabServer, seconds: int) -> Load:
        """The load of one load generator per reactor, on the CPU of the reactor."""
        return Load(
            f"http://{server.address}:{server.port}/",
            seconds,
            tuple(str(cpu) for cpu in range(self._count)),
            CONNECTIONS,
            namespace=self._up.client.namespace,
        )


@contextmanager
def testbed(count: int) -> Iterator[Testbed]:
    """The testbed for this number of reactors, with `net.core.busy_poll` set; removed at the end of the block."""
    with lab(LabOptions(queues=count, busy_poll_us=_BUSY_POLL_US)) as up:
        for end in (up.server, up.client):
            for cpu in range(count):
                _write(end, f"/sys/class/net/{end.device}/queues/tx-{cpu}/xps_cpus", f"{1 << cpu:x}")
        yield Testbed(up, count)


def _defer(end: End, deferred: bool) -> None:
    _write(end, f"/sys/class/net/{end.device}/napi_defer_hard_irqs", "2" if deferred else "0")
    _write(end, f"/sys/class/net/{end.device}/gro_flush_timeout", str(_FLUSH_NS) if deferred else "0")


def _write(end: End, path: str, value: str) -> None:
    # Only `ip netns exec` mounts a /sys with the devices of the namespace.
    done = subprocess.run(
        ["ip", "netns", "exec", end.namespace, "tee", path],
        input=value, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NetprobeError(f"{path} cannot be set to {value}: {done.stderr.strip()}")
