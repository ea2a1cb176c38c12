"""DPDK's own test application on virtual devices: a process that takes packets past the kernel, on any machine."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from netprobe.errors import NetprobeError

_START_SECONDS = 20.0
_END_SECONDS = 10.0
_READY = b"testpmd> "
_RUNTIME = Path("/run/dpdk")


class Testpmd:
    """Runs `dpdk-testpmd` while entered, forwarding between two devices of a kind.

    `net_null` makes packets from nothing, as many as are asked for; `net_ring` never has any. The main thread waits
    for commands on `cpus[0]`, the worker polls on `cpus[1]`. `pid` is the process, `said` its output at the end.
    """

    def __init__(self, device: Literal["net_null", "net_ring"] = "net_null", cpus: tuple[int, int] = (0, 1)) -> None:
        self._device, self._cpus = device, cpus
        self._prefix = f"netprobe-{os.getpid()}-{id(self):x}"
        self.said = ""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def __enter__(self) -> Self:
        program = shutil.which("dpdk-testpmd")
        if program is None:
            raise NetprobeError("dpdk-testpmd is not installed.", hint="Install the package dpdk-dev (Fedora: dpdk).")
        main, worker = self._cpus
        # Without huge pages and PCI it needs nothing of the machine; it reads commands until its input ends.
        environment = ["--no-huge", "--no-pci", "-m", "256", "--no-telemetry", "--file-prefix", self._prefix]
        devices = [f"--vdev={self._device}{number}" for number in range(2)]
        application = ["--nb-cores=1", "--total-num-mbufs=4096", "--forward-mode=io", "--auto-start", "-i"]
        self._process = subprocess.Popen(
            [program, *environment, "-l", f"{main},{worker}", f"--main-lcore={main}", *devices, "--", *application],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        output, seen = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + _START_SECONDS
        while not seen.endswith(_READY):
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise NetprobeError(f"dpdk-testpmd did not start within {_START_SECONDS:.0f} s")
            chunk = os.read(output, 65536)
            if not chunk:
                raise NetprobeError(f"dpdk-testpmd did not start: {seen.decode(errors='replace').strip()[-500:]}")
            seen += chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        try:
            said, _ = self._process.communicate(b"quit\n", timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        self.said = said.decode(errors="replace")
        shutil.rmtree(_RUNTIME / self._prefix, ignore_errors=True)
