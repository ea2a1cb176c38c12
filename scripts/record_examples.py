"""Records the Runs in dashboards/runs again, or the named ones: the lab server with and without faults. Needs root."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from netprobe.lab.server import ServerOptions, build
from netprobe.load.generator import wrk_command

_NETPROBE = Path(sys.executable).with_name("netprobe")
_RUNS = Path(__file__).parent.parent / "dashboards" / "runs"
# In memory: the load leaves no CPU for the driver of a disk.
_TEMPORARY = Path("/dev/shm/netprobe-examples")
# The path of the program is stored in a Run, so it must not be in a checkout.
_PROGRAM = Path("/run/netprobe-examples/lab-server")
_SECONDS, _SERIES = 4, 8
_CPUS = (0, 1)

_FIXED = ServerOptions(threads=2, cpus=_CPUS, steer="cbpf")
_CONFIGURATIONS = {
    "faulty": replace(_FIXED, listen_order="reversed", quota_timer_us=500, receive="read"),
    "fixed": _FIXED,
    "unsteered": replace(_FIXED, steer="none"),
    "same": _FIXED,
}


@contextlib.contextmanager
def server(options: ServerOptions, seconds: int) -> Iterator[int]:
    """Run the server under load from one client per CPU; its PID."""
    process = subprocess.Popen([_PROGRAM, *options.argv()], stdout=subprocess.PIPE, text=True)
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        ready = re.match(r"ready port=(\d+)", process.stdout.readline())
        assert ready is not None
        for cpu in _CPUS:
            command = wrk_command(f"http://127.0.0.1:{ready[1]}/", seconds, connections=8)
            load = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL)
            stack.callback(load.wait)
            stack.callback(load.terminate)
        yield process.pid


def record(name: str, options: ServerOptions, repeat: int = 0) -> None:
    """Record one Run or a series."""
    series = ["--repeat", str(repeat)] if repeat else []
    with server(options, 10 * _SECONDS * max(1, repeat)) as pid:
        command = [_NETPROBE, "record", "-p", str(pid), "-d", str(_SECONDS), "-o", _TEMPORARY / name, *series]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def anonymize(run: Path) -> None:
    """Remove the host name, and all boot parameters except those about mitigations."""
    info = json.loads((run / "run.json").read_text())
    parameters = info["host"]["boot_parameters"].split(" -- ")[0].split()
    kept = [parameter for parameter in parameters if "mitigations" in parameter]
    info["host"] |= {"hostname": "lab", "boot_parameters": " ".join(kept)}
    (run / "run.json").write_text(json.dumps(info, indent=2) + "\n")


def main(names: list[str]) -> None:
    """Record all configurations, or the named ones."""
    _TEMPORARY.mkdir(exist_ok=True)
    _PROGRAM.parent.mkdir(exist_ok=True)
    try:
        shutil.copy(build(), _PROGRAM)
        for name in names or _CONFIGURATIONS:
            record(name, _CONFIGURATIONS[name], repeat=_SERIES if name == "same" else 0)
            for info in (_TEMPORARY / name).rglob("run.json"):
                anonymize(info.parent)
            shutil.rmtree(_RUNS / name, ignore_errors=True)
            shutil.copytree(_TEMPORARY / name, _RUNS / name)
    finally:
        shutil.rmtree(_PROGRAM.parent)
        shutil.rmtree(_TEMPORARY)


if __name__ == "__main__":
    main(sys.argv[1:])
