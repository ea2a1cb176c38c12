"""What the user asked for, as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass

# Characters of a command line that stand in headings; the Run has all of it.
_SHOWN = 60


@dataclass(frozen=True)
class RecordOptions:
    """Whom to record, for how long, in intervals of which length.

    No pids, comm or command means the whole machine. `seconds` None: until the command or the targets end,
    or a signal comes. `slots` limits how many threads can be told apart; None: by the machine's size.
    """

    pids: tuple[int, ...] = ()
    comm: str | None = None
    command: tuple[str, ...] = ()
    seconds: float | None = 10.0
    interval_seconds: float = 1.0
    slots: int | None = None
    # Count in windows of this share of each interval only, and look away for the rest of it.
    counted_share: float = 1.0
    # A shell's command, such as a load generator: the recording lasts as long as it runs.
    while_command: str | None = None

    @property
    def in_windows(self) -> bool:
        """Whether there are times in which nothing is counted."""
        return self.counted_share < 1

    @property
    def whole_machine(self) -> bool:
        """Whether every thread is traced."""
        return not (self.pids or self.comm or self.command)

    def describe(self) -> str:
        """The target in the user's words."""
        if self.command:
            line = " ".join((os.path.basename(self.command[0]), *self.command[1:]))
            return f"`{line if len(line) <= _SHOWN else line[: _SHOWN - 2] + ' …'}`"
        parts = [f"process {', '.join(map(str, self.pids))}"] if self.pids else []
        parts += [f"processes named {self.comm}"] if self.comm else []
        return " and ".join(parts) or "the whole machine"
