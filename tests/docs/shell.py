"""A shell that runs the command lines of a page."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from netprobe.lab.nginx import Nginx, free_port
from netprobe.lab.server import build
from netprobe.load.generator import wrk_command

ROOT = Path(__file__).parent.parent.parent

# Commands that a test must not run have no effect; pgrep finds the server of the page.
_PRELUDE = """\
set -eu
sudo() { "$@"; }
apt() { command apt-get --simulate "$@"; }
make() { command make --dry-run -C "$CHECKOUT" "$@"; }
# -n: the newest, a worker.
pgrep() { if [ "$1" = -n ]; then command pgrep -n -P "$PID"; else echo "$PID"; fi; }
# The package is built and installed next to the page; its dependencies are installed already.
netprobe/bin/pip() { python3 -m pip "$@" --no-deps --no-build-isolation --target installed; }
"""
_LOAD_SECONDS = 280
# A test does not need a server at its limit: each connection waits 3 ms between two requests.
_PAUSE = "function delay() return 3 end\n"


def shortened(text: str) -> str:
    """Shorten recordings to a second, and series and rounds to two; load with `-d 60s` is stopped by the page."""
    text = re.sub(r"(?<= -d )\d+\b", "1", text)
    return re.sub(r"(?<= --repeat | --rounds )\d+", "2", text)


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return os.environ | {"LANG": "C.UTF-8", "PATH": path, "CHECKOUT": str(ROOT)}


class Shell:
    """Runs the commands of one page in one shell, in order, each with its output in a file of its own."""

    def __init__(self, folder: Path, here: dict[str, str]) -> None:
        self.folder, self._environment = folder / "work", _environment() | here
        self._out = folder / "out"
        self._out.mkdir()
        self.folder.mkdir()
        for name, run in (("before", "faulty"), ("after", "fixed")):
            shutil.copytree(ROOT / "dashboards" / "runs" / run, self.folder / name)
        (self.folder / "dashboards").symlink_to(ROOT / "dashboards")

    def run(self, commands: list[str], seconds: float = 250) -> list[str]:
        """The output of each command. Raises `AssertionError` for the first that fails, with its messages."""
        script = _PRELUDE + "".join(
            f"echo {number} >{self._out}/reached\n{{ {self._localised(text)}\n}} >{self._out}/{number}\n"
            for number, text in enumerate(commands)
        )
        with open(self._out / "errors", "w+") as errors:
            # In a process group of its own, so that background processes of a page are stopped. Not in a session of its
            # own: autogroup scheduling would treat it as one group, which a polling server on every CPU can starve.
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                process_group=0,
            )
            try:
                status = process.wait(seconds)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
        messages = (self._out / "errors").read_text(errors="replace")
        if status:
            number = int((self._out / "reached").read_text())
            raise AssertionError(
                f"exit status {status} of: {commands[number]}\n{self.output(number)}{messages[-3000:]}"
            )
        return [self.output(number) for number in range(len(commands))]

    def _localised(self, text: str) -> str:
        """The command with the port and the paths of this machine."""
        return text.replace("/path/to/netprobe", str(ROOT)).replace("8080", self._environment.get("PORT", "8080"))

    def output(self, number: int) -> str:
        """The output of one command."""
        return (self._out / str(number)).read_text(errors="replace")

    def python(self, programs: list[str]) -> None:
        """Run the page's programs, in order, as one."""
        done = subprocess.run(
            [sys.executable, "-c", "\n\n".join(programs)],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running(needs: str, folder: Path, blessing: bool) -> Iterator[dict[str, str]]:
    """Start the server of a page, with load; yields PID and PORT. `blessing`: with the maximum load."""
    pause = folder / "pause.lua"
    pause.write_text(_PAUSE)
    loaded = not needs.startswith("idle ")
    kind, *flags = needs.removeprefix("idle ").split()
    with contextlib.ExitStack() as stack:
        if kind == "nginx":
            server = stack.enter_context(Nginx())
            pid, port = server.pid, server.port
        elif kind == "lab-server":
            pid, port = stack.enter_context(_lab_server(flags))
        else:
            assert needs == "root", f"unknown: {needs}"
            yield {"PORT": str(free_port("127.0.0.1"))}
            return
        for cpu in sorted(os.sched_getaffinity(0)) if loaded else ():
            *command, url = wrk_command(f"http://127.0.0.1:{port}/", _LOAD_SECONDS, connections=8)
            command += [] if blessing else ["-s", str(pause)]
            load = subprocess.Popen(["taskset", "-c", str(cpu), *command, url], stdout=subprocess.DEVNULL)
            stack.callback(load.wait)
            stack.callback(load.kill)
        yield {"PID": str(pid), "PORT": str(port)}


@contextlib.contextmanager
def _lab_server(flags: list[str]) -> Iterator[tuple[int, int]]:
    process = subprocess.Popen([build(), *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        ready = re.match(r"ready port=(\d+) pid=(\d+)", process.stdout.readline())
        assert ready is not None
        yield int(ready[2]), int(ready[1])
    finally:
        process.terminate()
        process.communicate()
