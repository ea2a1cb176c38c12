"""Programs that are attached repeatedly. A stand-in replaces the kernel, which does not refuse on demand."""

from collections import Counter

import pytest

from netprobe.engine.program import Program
from netprobe.errors import NotPossibleHereError
from netprobe.probes.base import BtfTracepoint, RawTracepoint

OFTEN = BtfTracepoint("on_read", "tcp_rcv_space_adjust", frequent=True)
AT_TIMES = RawTracepoint("on", "sys_enter", duty_cycled=True)


class Attached:
    """An attached program."""

    def __init__(self, point):
        self.point = point
        self.duty_cycled, self.frequent = getattr(point, "duty_cycled", False), getattr(point, "frequent", False)

    def detach(self):
        """Nothing is attached here."""


class Refusing(Program):
    """The kernel refuses this number of times."""

    def __init__(self, *points, refusals):
        self._attached, self._resting, self._refusals = [], [], refusals
        self._refused = Counter()
        self._rest(self._added(points))

    def _added(self, points):
        self._attached += [Attached(point) for point in points]
        return list(self._attached)

    def attach(self, point):
        """As the real one."""
        if self._refusals:
            self._refusals -= 1
            raise NotPossibleHereError("Not now.")
        self._attached.append(Attached(point))


@pytest.mark.parametrize("refusals", [0, 1, 3])
def test_a_refused_attachment_is_retried_and_reported(refusals):
    program = Refusing(OFTEN, refusals=refusals)
    for _ in range(4):
        program._attach_again([one for one in program._resting if one.frequent])
        program.rest()
    assert len(program._resting) == 1
    said = [] if not refusals else [f"{refusals} sampling windows lack the counts of {OFTEN}"]
    assert [text.partition(":")[0] for text in program.refused()] == said


def test_a_refused_duty_cycled_program_is_not_reported():
    program = Refusing(AT_TIMES, refusals=2)
    for _ in range(3):
        with program.with_duty_cycled():
            pass
    assert program.refused() == []
    assert [one.point for one in program._resting] == [AT_TIMES]
