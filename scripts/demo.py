"""`make demo`: netprobe at work on real servers under real load, on loopback. Leaves nothing running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from netprobe.errors import NetprobeError
from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.wrk import wrk_command

_NETPROBE = Path(sys.executable).with_name("netprobe")
_SECONDS = 5


def heading(text: str) -> None:
    """Say what comes."""
    print(f"\n=== {text}", flush=True)


def show(*arguments: str) -> None:
    """Run one netprobe command and show the command line with its output."""
    print(f"\n$ netprobe {' '.join(arguments)}", flush=True)
    subprocess.run([_NETPROBE, *arguments], check=True)


def nginx_under_load() -> None:
    """System calls and context switches of nginx with two workers."""
    heading("nginx with two workers, under load from wrk on loopback")
    with Nginx(NginxOptions(workers=2)) as nginx:
        load = subprocess.Popen(wrk_command(nginx.url, 2 * _SECONDS + 6), stdout=subprocess.DEVNULL)
        try:
            show("syscalls", "-p", str(nginx.pid), "-d", str(_SECONDS))
            show("switches", "-p", str(nginx.pid), "-d", str(_SECONDS))
        finally:
            load.terminate()
            load.wait()


def main() -> None:
    """All parts, one after another."""
    try:
        nginx_under_load()
    except NetprobeError as error:
        sys.exit(f"demo: {error.what} {error.todo}")


if __name__ == "__main__":
    main()
