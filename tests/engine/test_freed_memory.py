"""What was freed between pieces that are still used leaves the process."""

import os
from pathlib import Path

from netprobe.engine.freed_memory import give_back

_PIECE, _PIECES = 2048, 40_000


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_holes_are_given_back():
    pieces = [bytearray(_PIECE) for _ in range(_PIECES)]
    kept = pieces[::100]
    before = resident()
    del pieces
    give_back()
    assert before - resident() > 0.8 * _PIECE * _PIECES
    assert len(kept) == _PIECES / 100
