"""`make demo`: netprobe on real servers under real load, on loopback and a veth pair. Ends all processes it starts."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from netprobe.errors import NetprobeError
from netprobe.lab.namespaces import LabOptions, lab
from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command

_NETPROBE = Path(sys.executable).with_name("netprobe")
_SECONDS = 5
_SHORT = 3
_OUTPUT = Path("out/demo")


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n=== {text}", flush=True)


def show(*arguments: str) -> None:
    """Print one netprobe command line, and run it."""
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


def lab_server_locality() -> None:
    """The fault of the article: listeners in the wrong order of CPUs, then in the right order."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    if cpus[: len(cpus)] != tuple(range(len(cpus))):
        print("Skipped: this part needs CPUs that are numbered from 0 on.")
        return
    faulty = ServerOptions(threads=len(cpus), cpus=cpus, steer="cbpf", listen_order="reversed")
    for description, options in (
        ("listens in the wrong order of CPUs", faulty),
        ("listens in the order of its CPUs", replace(faulty, listen_order=())),
    ):
        heading(f"A thread-per-core server, steered by CPU, that {description}")
        with LabServer(options) as server, contextlib.ExitStack() as stack:
            for cpu in cpus:
                command = wrk_command(f"http://127.0.0.1:{server.port}/", _SECONDS + 4, connections=8)
                load = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL)
                stack.callback(load.wait)
                stack.callback(load.terminate)
            show("locality", "-p", str(server.pid), "-d", str(_SECONDS))


def busy_polling() -> None:
    """Busy polling over a veth pair: with a zero timeout it never starts; with all prerequisites it works."""
    zero_timeout = ServerOptions(epoll_timeout_us=0, cpus=(0,))
    blocking = ServerOptions(epoll_timeout_us=100, cpus=(0,), busy_poll_us=200, prefer=True)
    for description, options, defer in (
        ("calls epoll_wait with a zero timeout", zero_timeout, False),
        ("blocks for up to 100 µs, with deferred interrupts", blocking, True),
    ):
        heading(f"net.core.busy_poll is set, and a server in a network namespace {description}")
        with lab(LabOptions(queues=1, defer=defer, busy_poll_us=50)) as bed, contextlib.ExitStack() as stack:
            at_address = replace(options, address=bed.server.address)
            server = stack.enter_context(LabServer(at_address, namespace=bed.server.namespace))
            url = f"http://{bed.server.address}:{server.port}/"
            client = ["ip", "netns", "exec", bed.client.namespace, "taskset", "-c", str(max(os.sched_getaffinity(0)))]
            load = subprocess.Popen([*client, *wrk_command(url, _SHORT + 4)], stdout=subprocess.DEVNULL)
            stack.callback(load.wait)
            stack.callback(load.terminate)
            show("busypoll", "-p", str(server.pid), "-d", str(_SHORT))


def investigation() -> None:
    """The article in short: three faults at once, their findings, and the effect of their fixes."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    faulty = ServerOptions(
        threads=len(cpus), cpus=cpus, steer="cbpf", listen_order="reversed", quota_timer_us=500, receive="read"
    )
    fixed = ServerOptions(threads=len(cpus), cpus=cpus, steer="cbpf")
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    _OUTPUT.mkdir(parents=True)
    before, after = _OUTPUT / "before", _OUTPUT / "after"
    for description, options, run in (
        ("listens in the wrong order, is preempted by timers and receives with read()", faulty, before),
        ("has these faults fixed", fixed, after),
    ):
        heading(f"A thread-per-core server that {description}")
        with LabServer(options) as server, contextlib.ExitStack() as stack:
            for cpu in cpus:
                command = wrk_command(f"http://127.0.0.1:{server.port}/", _SECONDS + 6, connections=8)
                load = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL)
                stack.callback(load.wait)
                stack.callback(load.terminate)
            show("record", "-p", str(server.pid), "-d", str(_SECONDS), "-o", str(run))
    heading("The effect of the fixes")
    show("diff", str(before), str(after))
    show("flame", str(before), "-T", "5", "-o", str(_OUTPUT / "before.html"))
    show("flame", "--diff", str(before), str(after), "-T", "5", "-o", str(_OUTPUT / "diff.html"))
    show("report", str(before), str(after), "-o", str(_OUTPUT / "report.html"))
    heading("Open these files in a browser")
    for name in ("report.html", "before.html", "diff.html"):
        print(_OUTPUT / name)


def main() -> None:
    """Run all parts, one after another."""
    try:
        nginx_under_load()
        lab_server_locality()
        busy_polling()
        investigation()
    except NetprobeError as error:
        sys.exit(f"demo: {error.message} {error.hint}")


if __name__ == "__main__":
    main()
