"""The options of a recording, from the command line to the kernel program, as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_SECONDS = 10.0
# Characters of a command line in headings; the Run has all of it.
_MAX_COMMAND_LENGTH = 60


@dataclass(frozen=True)
class RecordOptions:
    """The target, the length of the recording and of its intervals, and the destination of the result.

    The target is the whole machine if there are no `pids`, `comm` or `command`.
    """

    pids: tuple[int, ...] = ()
    comm: str | None = None
    command: tuple[str, ...] = ()
    """The server to start."""
    seconds: float | None = None
    """As specified with -d; see `max_seconds`."""
    interval_seconds: float = 1.0
    print_intervals: bool = False
    """Print a table after each interval."""
    while_command: str | None = None
    """A shell command, such as a load generator: the recording lasts as long as it runs."""
    while_description: str = ""
    """What `while_command` is, where its text means nothing to the user."""
    counted_share: float = 1.0
    """Below 1, a duty-cycled recording: events are counted in a sampling window of this share of each interval."""
    slots: int | None = None
    """Number of per-thread slots; None: depends on the size of the machine."""
    output: Path | None = None
    """Where the Run is written."""
    in_series: bool = False
    """`output` is one of several Runs in a directory, which is created with the first of them."""
    as_json: bool = False
    use_cache: bool = True
    """Whether a program compiled by an earlier start may be loaded, and a newly compiled one is stored."""
    verbose: bool = False

    @property
    def max_seconds(self) -> float | None:
        """Length of the recording, None: until the command or the target ends.

        A server that netprobe starts is recorded until it ends, unless -d is less.
        """
        if self.seconds is None and not self.command and not self.while_command:
            return DEFAULT_SECONDS
        return self.seconds

    @property
    def duty_cycled(self) -> bool:
        """Whether events are counted in sampling windows only."""
        return self.counted_share < 1

    @property
    def whole_machine(self) -> bool:
        """Whether every thread is traced."""
        return not (self.pids or self.comm or self.command)

    def describe(self) -> str:
        """A description of the target."""
        if self.command:
            line = " ".join((os.path.basename(self.command[0]), *self.command[1:]))
            long = len(line) > _MAX_COMMAND_LENGTH
            return f"`{line[: _MAX_COMMAND_LENGTH - 2] + ' …' if long else line}`"
        parts = [f"process {', '.join(map(str, self.pids))}"] if self.pids else []
        parts += [f"processes named {self.comm}"] if self.comm else []
        return " and ".join(parts) or "the whole machine"
