"""Commands that netprobe starts: a server to observe, a load generator. Suspended before exec until released."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from netprobe.errors import NetprobeError

_TERMINATION_TIMEOUT_S = 5.0
# Time to print a summary on Ctrl-C.
_SUMMARY_TIMEOUT_S = 2.0
# Signals that netprobe handles, and signals that Python ignores.
_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class StartedServer:
    """A child that is suspended before exec. Its standard output is redirected to standard error."""

    _reads_terminal = True

    def __init__(self, command: tuple[str, ...]) -> None:
        import shutil

        program = shutil.which(command[0])
        if program is None:
            raise NetprobeError(f"There is no program {command[0]!r} to start.", hint="Give its path, or see PATH.")
        release_read, self._release_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # The child's copy of the writing end would keep the pipe open after the end of netprobe.
            os.close(self._release_write)
            _exec_when_released(program, command, release_read, self._reads_terminal)
        os.close(release_read)
        self._status: int | None = None

    def release(self) -> None:
        """Let the child call exec."""
        os.write(self._release_write, b"g")
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._release_write >= 0:
            os.close(self._release_write)
            self._release_write = -1

    def ended(self) -> bool:
        """Whether it has exited."""
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
        """End it if it still runs; return whether that was necessary."""
        self._close_pipe()
        if self._gone():
            return False
        try:
            self._terminate()
        except BaseException:
            # A second Ctrl-C: do not wait any longer, but leave no process behind.
            if not self._gone():
                self._send(signal.SIGKILL)
            raise
        return True

    def _terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._send(number)
            if self._gone_within(_TERMINATION_TIMEOUT_S):
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


def _exec_when_released(program: str, command: tuple[str, ...], release: int, reads_terminal: bool) -> None:
    """In the child: wait for the release, then call exec. Never returns."""
    try:
        os.dup2(2, 1)
        if not reads_terminal and os.isatty(0):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # End of file: netprobe ended before the release. From the release on, every system call is counted, so the next
        # one has to be the exec.
        if os.read(release, 1) == b"g":
            os.execv(program, command)
    except OSError as error:
        os.write(2, f"netprobe: cannot start {program}: {error.strerror}\n".encode())
    os._exit(127)


class WhileCommand(StartedServer):
    """A shell command that the recording lasts as long as: a load generator.

    It has its own process group, which reaches all processes that the shell starts.
    """

    # A background process group of a terminal is stopped when it reads from the terminal.
    _reads_terminal = False

    def __init__(self, script: str) -> None:
        super().__init__(("sh", "-c", script))
        os.setpgid(self.pid, self.pid)
        self._forwarded = self._reaped = False

    def forward(self, number: int) -> None:
        """Forward a signal that netprobe received: Ctrl-C in a terminal does not reach other process groups."""
        if self._release_write < 0:
            self._forwarded = True
            self._send(number)

    def ended(self) -> bool:
        """Whether the shell has exited; it is not reaped before `end`, as its PID is that of the process group."""
        if self._status is None:
            seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen:
                self._status = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
        return self._status is not None

    def end(self) -> bool:
        """End the shell and the processes that it started; return whether that was necessary."""
        if self._reaped:
            return False
        needed = super().end()
        if self.ended():
            os.waitpid(self.pid, 0)
            self._reaped = True
        return needed

    def _terminate(self) -> None:
        if not (self._forwarded and self._gone_within(_SUMMARY_TIMEOUT_S)):
            super()._terminate()

    def _send(self, number: int) -> None:
        # A process that changed its user, as sudo does, cannot be signalled.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _gone(self) -> bool:
        return self.ended() and not _group_runs(self.pid)


def _group_runs(group: int) -> bool:
    """Whether a process group has a running process. Zombies do not count: their parent may never reap them."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                return True
    return False
