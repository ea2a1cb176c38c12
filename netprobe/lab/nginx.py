"""Runs the installed nginx with a configuration in a temporary directory."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from netprobe.errors import NetprobeError

_START_SECONDS = 10.0
_CONFIGURATION = """
daemon off;
master_process on;
worker_processes {workers};
{affinity}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen}{reuseport};
        location / {{ return 200 "ok\\n"; }}
    }}
}}
"""


@dataclass(frozen=True)
class NginxOptions:
    """Number of workers, and whether each has a separate listener."""

    workers: int = 2
    reuseport: bool = True
    pinned: bool = False
    address: str = "127.0.0.1"


class Nginx:
    """Runs nginx while entered; `pid` is the master process, `url` the URL that it serves."""

    def __init__(self, options: NginxOptions | None = None) -> None:
        self._options = options or NginxOptions()
        self.port = 0
        self.url = ""

    @property
    def pid(self) -> int:
        """The master process."""
        return self._process.pid

    def __enter__(self) -> Self:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None:
            raise NetprobeError("nginx is not installed.", hint="Install the package nginx-light.")
        self._folder = tempfile.TemporaryDirectory(prefix="netprobe-nginx-")
        # Workers drop root privileges and need access to their directories.
        Path(self._folder.name).chmod(0o755)
        self.port = free_port(self._options.address)
        host = f"[{self._options.address}]" if ":" in self._options.address else self._options.address
        self.url = f"http://{host}:{self.port}/"
        configuration = Path(self._folder.name, "nginx.conf")
        configuration.write_text(self._configuration(f"{host}:{self.port}"))
        self._process = subprocess.Popen(
            [program, "-p", self._folder.name, "-c", str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._wait_until_ready()
        return self

    def _configuration(self, listen: str) -> str:
        return _CONFIGURATION.format(
            workers=self._options.workers,
            affinity="worker_cpu_affinity auto;" if self._options.pinned else "",
            folder=self._folder.name,
            listen=listen,
            reuseport=" reuseport" if self._options.reuseport else "",
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                error = self._process.stderr.read().decode(errors="replace") if self._process.stderr else ""
                self._folder.cleanup()
                raise NetprobeError(f"nginx did not start: {error.strip()}")
            if len(self.workers()) == self._options.workers and _answers(self._options.address, self.port):
                return
            time.sleep(0.02)
        self.__exit__(None, None, None)
        raise NetprobeError(f"nginx did not answer within {_START_SECONDS:.0f} s.")

    def workers(self) -> list[int]:
        """PIDs of the workers."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(number) for number in text.split()]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()
        self._folder.cleanup()


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port without a listener."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
