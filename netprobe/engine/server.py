"""Starts the server that the user named after `--`, held back until tracing has begun."""

from __future__ import annotations

import os
import shutil
import signal
import time

from netprobe.errors import NetprobeError

_PATIENCE_S = 5.0
# Those that netprobe handles, and those that Python ignores.
_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class HeldServer:
    """A child that waits before its exec. Its standard output goes to standard error: results have the other."""

    _reads_terminal = True

    def __init__(self, command: tuple[str, ...]) -> None:
        program = shutil.which(command[0])
        if program is None:
            raise NetprobeError(f"There is no program {command[0]!r} to start.", hint="Give its path, or see PATH.")
        go_read, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # Its own copy of the writing end would keep the pipe open when netprobe is gone.
            os.close(self._go)
            _become(program, command, go_read, self._reads_terminal)
        os.close(go_read)
        self._status: int | None = None

    def release(self) -> None:
        """Let it start."""
        os.write(self._go, b"g")
        self._close_gate()

    def _close_gate(self) -> None:
        if self._go >= 0:
            os.close(self._go)
            self._go = -1

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._status

    def end(self) -> bool:
        """End it if it still runs; True if that was needed."""
        self._close_gate()
        if self._gone():
            return False
        try:
            self._insist()
        except BaseException:
            # Ctrl-C once more: there is no patience left, and nothing to leave behind.
            if not self._gone():
                self._send(signal.SIGKILL)
            raise
        return True

    def _insist(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._send(number)
            if self._gone_within(_PATIENCE_S):
                break

    def _send(self, number: int) -> None:
        os.kill(self.pid, number)

    def _gone(self) -> bool:
        return self.ended()

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._gone():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def _become(program: str, command: tuple[str, ...], go: int, reads_terminal: bool) -> None:
    """In the child: wait for the word, then be the server. Never returns."""
    try:
        os.dup2(2, 1)
        if not reads_terminal and os.isatty(0):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # netprobe may be gone before it gives the word; then the pipe just ends. From the word on every call is
        # counted: the next one has to be the exec.
        if os.read(go, 1) == b"g":
            os.execv(program, command)
    except OSError as error:
        os.write(2, f"netprobe: cannot start {program}: {error.strerror}\n".encode())
    os._exit(127)
