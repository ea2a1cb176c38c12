"""Free memory between blocks in use is returned to the kernel."""

import os
import subprocess
import sys
from pathlib import Path

from netprobe.engine.interval_store import trim_heap

_PIECE, _PIECES = 2048, 40_000
_LARGE, _LARGE_PIECES = 100_000, 800


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_free_memory_is_returned():
    pieces = [bytearray(_PIECE) for _ in range(_PIECES)]
    kept = pieces[::100]
    before = resident()
    del pieces
    trim_heap()
    assert before - resident() > 0.8 * _PIECE * _PIECES
    assert len(kept) == _PIECES / 100


# A process of its own: memory that others have left behind is used before any is asked for.
LARGE = f"""
from netprobe.engine.interval_store import map_large_blocks
from tests.engine.test_heap import resident

# After one like this, glibc would put the next ones among the small.
del bytearray(16 << 20)[:]
map_large_blocks()
pieces = [(bytearray({_LARGE}), bytearray({_PIECE})) for _ in range({_LARGE_PIECES})]
kept = [small for _, small in pieces]
before = resident()
del pieces
print(before - resident())
"""


def test_large_blocks_are_unmapped_when_they_are_freed():
    def freed(script):
        root = Path(__file__).parent.parent.parent
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
        return int(done.stdout)

    assert freed(LARGE) > 0.95 * _LARGE * _LARGE_PIECES
    assert freed(LARGE.replace("\nmap_large_blocks()", "")) < 0.5 * _LARGE * _LARGE_PIECES
