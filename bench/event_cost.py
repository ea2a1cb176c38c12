"""Nanoseconds in the kernel per event, from BPF run-time statistics, compared with an empty program.

Every program is measured on the same loop of cheap system calls, one tool at a time, in interleaved rounds. The
difference to the empty program is the cost of a program: the statistics themselves have a cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from others import headers_for_syscount, with_tracefs
from spread import describe, line

from netprobe.engine.bpf import run_time_statistics

NETPROBE = str(Path(sys.executable).with_name("netprobe"))
_LOOP = "import os, time\nend = time.time() + {seconds}\nwhile time.time() < end:\n for _ in range(1000): os.getppid()"
_LOOP_SECONDS = 1.0
_WARM_UP_SECONDS = 30.0
_EMPTY = """
import time
from netprobe.engine.bcc_compiler import import_bcc
bcc = import_bcc()
program = bcc.BPF(text="RAW_TRACEPOINT_PROBE(sys_enter) { return 0; }")
print("ready", flush=True)
time.sleep(600)
"""


def _programs() -> dict[int, dict[str, Any]]:
    shown = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True)
    return {program["id"]: program for program in json.loads(shown.stdout)}


@contextlib.contextmanager
def _tool(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a tool; enter the context when its programs are loaded."""
    before = set(_programs())
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _WARM_UP_SECONDS
        while not set(_programs()) - before:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{command[0]} attached nothing")
            time.sleep(0.05)
        time.sleep(0.7)  # until the last of its programs is attached
        yield process
    finally:
        process.terminate()
        process.wait()


def _tools(target: int, headers: Path) -> dict[str, list[str]]:
    tools = {
        "empty program": [sys.executable, "-c", _EMPTY],
        "netprobe syscalls": [NETPROBE, "syscalls", "-p", str(target), "-d", "600"],
        "netprobe syscalls, no target": [NETPROBE, "syscalls", "-d", "600"],
    }
    if program := shutil.which("syscount-bpfcc"):
        source = f"BCC_KERNEL_SOURCE={headers}"
        tools["bcc syscount"] = ["env", source, *with_tracefs(program, "-p", str(target))]
    if program := shutil.which("bpftrace"):
        count = f"tracepoint:raw_syscalls:sys_enter /pid == {target}/ {{ @[comm, args->id] = count(); }}"
        tools["bpftrace by comm and call"] = with_tracefs(program, "-e", count)
    return tools


def _measure(command: Callable[[int], list[str]]) -> float:
    """Mean run time of the busiest program of the tool while the loop runs."""
    gate_read, gate_write = os.pipe()
    loop = _LOOP.format(seconds=_LOOP_SECONDS)
    worker = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.read({gate_read}, 1)\n{loop}"], pass_fds=(gate_read,)
    )
    os.close(gate_read)
    try:
        with _tool(command(worker.pid)):
            before = _programs()
            os.write(gate_write, b"g")
            worker.wait()
            after = _programs()
    finally:
        os.close(gate_write)
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    return _busiest(before, after)


def _busiest(before: dict[int, dict[str, Any]], after: dict[int, dict[str, Any]]) -> float:
    runs, run_ns = max(
        (
            program.get("run_cnt", 0) - before.get(number, {}).get("run_cnt", 0),
            program.get("run_time_ns", 0) - before.get(number, {}).get("run_time_ns", 0),
        )
        for number, program in after.items()
    )
    return run_ns / runs


def run(rounds: int) -> dict[str, Any]:
    """Interleaved rounds; prints and returns nanoseconds per event."""
    with contextlib.ExitStack() as stack:
        headers = headers_for_syscount(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        names = list(_tools(0, headers))
        values: dict[str, list[float]] = {name: [] for name in names}
        accounted = stack.enter_context(run_time_statistics())
        if not accounted:
            print("This kernel has no BPF run-time statistics.")
            return {}
        for _ in range(max(3, rounds // 3)):
            for name in names:
                values[name].append(_measure(lambda target, name=name: _tools(target, headers)[name]))
    for name in names:
        print(line(name, values[name], "ns an event", 1))
    floor = describe(values["empty program"])["median"]
    above = {name: describe(values[name])["median"] - floor for name in names[1:]}
    for name, cost in above.items():
        print(f"{name:34} {cost:.1f} ns above the empty program")
    return {"ns_per_event": {name: describe(values[name]) for name in names}, "above_empty_ns": above}
