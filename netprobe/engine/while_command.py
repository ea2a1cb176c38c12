"""A load generator that netprobe starts in a shell: ended with all that the shell started."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from netprobe.engine.server import HeldServer

# For a summary that is printed on Ctrl-C.
_LAST_WORDS_S = 2.0


class WhileCommand(HeldServer):
    """A shell's command in a process group of its own, which is how to reach what the shell started."""

    # In a terminal the group is one in the background: it would be stopped when it reads.
    _reads_terminal = False

    def __init__(self, script: str) -> None:
        super().__init__(("sh", "-c", script))
        os.setpgid(self.pid, self.pid)
        self._told = self._reaped = False

    def forward(self, number: int) -> None:
        """Pass on a signal that netprobe got: Ctrl-C in a terminal does not reach other process groups."""
        if self._go < 0:
            self._told = True
            self._send(number)

    def ended(self) -> bool:
        """Whether the shell has ended by itself; it keeps its number, which is the group's, until `end`."""
        if self._status is None:
            seen = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if seen:
                self._status = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
        return self._status is not None

    def end(self) -> bool:
        """End the shell and what it started; True if that was needed."""
        if self._reaped:
            return False
        needed = super().end()
        if self.ended():
            os.waitpid(self.pid, 0)
            self._reaped = True
        return needed

    def _insist(self) -> None:
        if not (self._told and self._gone_within(_LAST_WORDS_S)):
            super()._insist()

    def _send(self, number: int) -> None:
        # Who took another user's rights, as sudo does, is not ours to end.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _gone(self) -> bool:
        return self.ended() and not _lives(self.pid)


def _lives(group: int) -> bool:
    """Whether a process group has a process that runs. One that waits to be reaped does not: who should may never."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                return True
    return False
