"""More threads, errors or calls than the maps can hold: totals are right, and dropped events are reported."""

import re
from typing import Any

import pytest

from netprobe.analysis.syscalls import summarise
from netprobe.engine.options import RecordOptions
from netprobe.engine.recorded_run import as_run
from netprobe.engine.recorder import Recorder
from netprobe.probes.syscalls import Probe, SyscallOptions
from netprobe.run.model import Run

pytestmark = pytest.mark.filterwarnings("ignore:not a bytes object:DeprecationWarning")
GETPPID = 110
# Numbers that no kernel up to 6.19 has given to a call.
UNUSED = (387, 423)


@pytest.fixture
def record(gated):
    """Record many threads: (arguments of the workload, slots, options of the probe) -> Run."""

    def run(arguments: tuple[int, ...], slots: int | None, **probe: Any) -> Run:
        target = gated("crowd", *arguments)
        options = RecordOptions(pids=(target.pid,), seconds=60, interval_seconds=0.2, slots=slots)
        probes = [Probe(SyscallOptions(**probe))]
        recording = Recorder(options, probes).run(lambda seconds: target.start())
        return as_run(recording, options, probes)

    return run


def counts(run: Run) -> dict[str, int]:
    return {row.syscall: row.calls for row in summarise(run.tables)}


def dropped(run: Run, words: str) -> int:
    """The number in the sentence that contains this text; 0 without such a sentence."""
    found = [text for text in run.info.dropped if words in text]
    return int(re.match(r"\d+", found[0])[0]) if found else 0


def test_more_threads_than_slots(record):
    run = record((20, GETPPID, GETPPID, 1009), 8)
    assert counts(run)["getppid"] == 20 * 1009
    assert counts(run)["openat"] == 20
    # Slot 0 is unused, 1 is the overflow slot, 2 is the first slot of a thread.
    assert dropped(run, "found no free slot") == 20 - 5
    threads = run.table("syscalls").query("syscall == 'getppid'").groupby("thread")["calls"].sum().to_dict()
    assert threads["(other threads)"] == 15 * 1009


def test_enough_slots_drop_nothing(record):
    run = record((20, GETPPID, GETPPID, 101), None)
    assert counts(run)["getppid"] == 20 * 101
    assert run.info.dropped == []
    assert len(run.table("syscalls").query("syscall == 'getppid'")["tid"].unique()) == 20


def test_failures_of_threads_without_a_slot(record):
    """They are counted, or reported as dropped: the note must not claim that all events are in the totals."""
    run = record((20, GETPPID, GETPPID, 1), 8, failures=True)
    failed = sum(row.errors["ENOENT"] for row in summarise(run.tables) if row.syscall == "openat")
    assert failed + dropped(run, "not counted as failed") == 20


def test_latencies_of_threads_without_a_slot(record):
    run = record((20, GETPPID, GETPPID, 11), 8, latency=True)
    (row,) = [row for row in summarise(run.tables) if row.syscall == "getppid"]
    assert row.calls == 220
    # The note counts every call of those threads, not the getppid alone.
    assert row.latency.calls < 220 <= row.latency.calls + dropped(run, "missing from the latencies")


def test_a_full_map_of_failures(record):
    first, last = UNUSED
    threads = 8192 // (last - first + 1) + 50
    run = record((threads, first, last, 2), None, failures=True)
    failed = sum(row.errors["ENOSYS"] for row in summarise(run.tables))
    total = threads * (last - first + 1) * 2
    assert sum(calls for name, calls in counts(run).items() if name.startswith("syscall_")) == total
    assert 0 < dropped(run, "not counted as failed") < total
    assert len(run.table("syscall_errors")[["tid", "syscall", "errno"]].drop_duplicates()) == 8192
    # What else failed may have found the map full as well.
    assert failed < total <= failed + dropped(run, "not counted as failed") <= total + 2 * threads


def test_a_full_map_of_other_calls(record):
    run = record((1, 1000, 5999, 1), None)
    counted = sum(calls for name, calls in counts(run).items() if name.startswith("(invalid"))
    assert counted == 4096
    assert dropped(run, "32-bit or unknown entry") == 5000 - 4096


def test_a_full_map_of_latencies(record):
    first, last = UNUSED
    threads = 8192 // (last - first + 1) + 50
    run = record((threads, first, last, 1), None, latency=True)
    rows = summarise(run.tables)
    gone = dropped(run, "missing from the latencies")
    assert gone > 0
    returned = sum(row.latency.calls for row in rows if row.syscall.startswith("syscall_"))
    assert returned <= threads * (last - first + 1) <= returned + gone


def test_more_short_lived_children_than_slots(gated):
    """Slots are reused: eight slots suffice for children that outlive an interval."""
    target = gated("children", 30, 3, 100_000)
    options = RecordOptions(pids=(target.pid,), seconds=60, interval_seconds=0.1, slots=16)
    probes = [Probe()]
    recording = Recorder(options, probes).run(lambda seconds: target.start())
    run = as_run(recording, options, probes)
    assert run.info.dropped == []
    assert counts(run)["getppid"] == 90
    table = run.table("syscalls").query("syscall == 'getppid'").groupby("tid")["calls"].sum()
    assert table.tolist() == [3] * 30
