"""The test application of DPDK on virtual devices: a process with kernel bypass, on any machine."""

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

    `net_null` produces packets without end, `net_ring` none. The main thread waits for commands on `cpus[0]`, the
    worker polls on `cpus[1]`. `output` is set when the process has ended.
    """

    def __init__(self, device: Literal["net_null", "net_ring"] = "net_null", cpus: tuple[int, int] = (0, 1)) -> None:
        self._device, self._cpus = device, cpus
        self._prefix = f"netprobe-{os.getpid()}-{id(self):x}"
        self.output = ""

    @property
    def pid(self) -> int:
        """PID of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        program = shutil.which("dpdk-testpmd")
        if program is None:
            raise NetprobeError("dpdk-testpmd is not installed.", hint="Install the package dpdk-dev (Fedora: dpdk).")
        main, worker = self._cpus
        # Without huge pages and PCI it needs no devices; it reads commands until the end of its input.
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
        descriptor, output = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + _START_SECONDS
        while not output.endswith(_READY):
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise NetprobeError(f"dpdk-testpmd did not start within {_START_SECONDS:.0f} s.")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise NetprobeError(f"dpdk-testpmd did not start: {output.decode(errors='replace').strip()[-500:]}")
            output += chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        try:
            output, _ = self._process.communicate(b"quit\n", timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, _ = self._process.communicate()
        self.output = output.decode(errors="replace")
        shutil.rmtree(_RUNTIME / self._prefix, ignore_errors=True)
