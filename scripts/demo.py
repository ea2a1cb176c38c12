"""`make demo`: netprobe at work on real servers under real load, on loopback. Leaves nothing running."""

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


def lab_server_locality() -> None:
    """The article's fault on two CPUs: listeners in the wrong order of CPUs, then in the right one."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    if cpus[: len(cpus)] != tuple(range(len(cpus))):
        print("This needs the CPUs from 0 on; it is left out here.")
        return
    faulty = ServerOptions(threads=len(cpus), cpus=cpus, steer="cbpf", listen_order="reversed")
    for words, options in (
        ("listens in the wrong order of CPUs", faulty),
        ("listens in the order of its CPUs", replace(faulty, listen_order=())),
    ):
        heading(f"a thread-per-core server, steered by CPU, that {words}")
        with LabServer(options) as server, contextlib.ExitStack() as stack:
            for cpu in cpus:
                command = wrk_command(f"http://127.0.0.1:{server.port}/", _SECONDS + 4, connections=8)
                load = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL)
                stack.callback(load.wait)
                stack.callback(load.terminate)
            show("locality", "-p", str(server.pid), "-d", str(_SECONDS))


def busy_polling() -> None:
    """Busy polling over a veth pair: with a timeout of 0 it never starts; with all conditions met it works."""
    impatient = ServerOptions(epoll_timeout_us=0, cpus=(0,))
    patient = ServerOptions(epoll_timeout_us=100, cpus=(0,), busy_poll_us=200, prefer=True)
    for words, options, defer in (
        ("calls epoll_wait with a timeout of 0", impatient, False),
        ("waits 100 µs, and the softirq leaves it the packets", patient, True),
    ):
        heading(f"net.core.busy_poll is on, and a server in a network namespace {words}")
        with lab(LabOptions(queues=1, defer=defer, busy_poll_us=50)) as bed, contextlib.ExitStack() as stack:
            there = replace(options, address=bed.server.address)
            server = stack.enter_context(LabServer(there, namespace=bed.server.namespace))
            url = f"http://{bed.server.address}:{server.port}/"
            client = ["ip", "netns", "exec", bed.client.namespace, "taskset", "-c", str(max(os.sched_getaffinity(0)))]
            load = subprocess.Popen([*client, *wrk_command(url, _SHORT + 4)], stdout=subprocess.DEVNULL)
            stack.callback(load.wait)
            stack.callback(load.terminate)
            show("busypoll", "-p", str(server.pid), "-d", str(_SHORT))


def investigation() -> None:
    """The article in short: three faults at once, what netprobe says of them, and what fixing them changed."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    faulty = ServerOptions(
        threads=len(cpus), cpus=cpus, steer="cbpf", listen_order="reversed", quota_timer_us=500, receive="read"
    )
    fixed = ServerOptions(threads=len(cpus), cpus=cpus, steer="cbpf")
    shutil.rmtree(_OUTPUT, ignore_errors=True)
    _OUTPUT.mkdir(parents=True)
    before, after = _OUTPUT / "before", _OUTPUT / "after"
    for words, options, run in (
        ("listens in the wrong order, is interrupted by timers and reads with read", faulty, before),
        ("is fixed", fixed, after),
    ):
        heading(f"a thread-per-core server that {words}")
        with LabServer(options) as server, contextlib.ExitStack() as stack:
            for cpu in cpus:
                command = wrk_command(f"http://127.0.0.1:{server.port}/", _SECONDS + 6, connections=8)
                load = subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL)
                stack.callback(load.wait)
                stack.callback(load.terminate)
            show("record", "-p", str(server.pid), "-d", str(_SECONDS), "-o", str(run))
    heading("what fixing it changed")
    show("diff", str(before), str(after))
    show("flame", str(before), "-T", "5", "-o", str(_OUTPUT / "before.html"))
    show("flame", "--diff", str(before), str(after), "-T", "5", "-o", str(_OUTPUT / "diff.html"))
    show("report", str(before), str(after), "-o", str(_OUTPUT / "report.html"))
    heading("open these in a browser")
    for name in ("report.html", "before.html", "diff.html"):
        print(_OUTPUT / name)


def main() -> None:
    """All parts, one after another."""
    try:
        nginx_under_load()
        lab_server_locality()
        busy_polling()
        investigation()
    except NetprobeError as error:
        sys.exit(f"demo: {error.message} {error.hint}")


if __name__ == "__main__":
    main()
