"""Observe the counters of the target's network namespaces: overflows, drops, retransmissions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netprobe.engine.options import RecordOptions
from netprobe.probes.base import Counted, TracedThread
from netprobe.run.table import Table, table_of_rows

if TYPE_CHECKING:
    from netprobe.engine.program import Program


def observer(options: RecordOptions) -> NetworkObserver:
    """The observer of a recording."""
    return NetworkObserver()


class NetworkObserver:
    """Snapshots of /proc/PID/net/snmp and netstat at start and stop, per network namespace."""

    probe = ""

    def __init__(self) -> None:
        # Namespace -> a process in it, and the counters at start.
        self._before: dict[str, tuple[int, Counter[str]]] = {}
        self._after: dict[str, Counter[str]] = {}

    def begin(self, program: Program, threads: Sequence[TracedThread], suspended: int | None) -> None:
        """The snapshot at start."""
        self._before = _counters(
            {thread.pid for thread in threads if thread.tid} | ({suspended} if suspended else set())
        )

    def mark(self) -> None:
        """Counters are read at start and stop only: an overflow outside of a sampling window counts as well."""

    def under_load(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """Kept in case that the target exits."""
        self._after |= {name: counters for name, (_, counters) in _counters(one.pid for one in threads).items()}

    def end(self, program: Program, threads: Sequence[TracedThread]) -> None:
        """The snapshot at stop."""
        self.under_load(program, threads)

    def tables(self, counted: Counted, started_ns: int) -> list[Table]:
        """`network_counters`: differences, without those that are 0."""
        total: Counter[str] = Counter()
        for namespace, after in self._after.items():
            if namespace in self._before:
                before = self._before[namespace][1]
                total.update({name: value - before[name] for name, value in after.items() if value > before[name]})
        return [table_of_rows("network_counters", sorted(total.items()))]


def _counters(pids: Iterable[int]) -> dict[str, tuple[int, Counter[str]]]:
    """Network namespace -> one of the processes in it, and the counters of the namespace."""
    found: dict[str, tuple[int, Counter[str]]] = {}
    for pid in sorted(set(pids)):
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")
            if namespace not in found:
                texts = [Path(f"/proc/{pid}/net/{name}").read_text(errors="replace") for name in ("snmp", "netstat")]
                found[namespace] = pid, _parse("".join(texts))
        except OSError:
            continue
    return found


def _parse(text: str) -> Counter[str]:
    """Counters by name, such as `TcpExt.ListenOverflows`: pairs of lines with names and with values."""
    counters: Counter[str] = Counter()
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, rest = names.partition(":")
        for name, value in zip(rest.split(), values.partition(":")[2].split(), strict=False):
            if value.lstrip("-").isdigit():
                counters[f"{group}.{name}"] = int(value)
    return counters
