"""Constants of the perf.data format, and the exception for a recording that breaks its rules."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from flamegraph.errors import BrokenProfileError

MAGIC = b"PERFILE2"
HEADER_BYTES = 104
PIPE_HEADER_BYTES = 16


class Record(IntEnum):
    """Types of records that this reader uses; from 64 on they are written by perf, not by the kernel."""

    MMAP = 1
    LOST = 2
    COMM = 3
    EXIT = 4
    FORK = 7
    SAMPLE = 9
    MMAP2 = 10
    LOST_SAMPLES = 13
    KSYMBOL = 17
    ATTR = 64
    TRACING_DATA = 66
    BUILD_ID = 67
    FINISHED_ROUND = 68
    AUXTRACE = 71
    EVENT_UPDATE = 78
    FEATURE = 80
    COMPRESSED = 81
    COMPRESSED2 = 83


class Sample(IntFlag):
    """Bits of `sample_type`."""

    IP = 1 << 0
    TID = 1 << 1
    TIME = 1 << 2
    ADDR = 1 << 3
    READ = 1 << 4
    CALLCHAIN = 1 << 5
    ID = 1 << 6
    CPU = 1 << 7
    PERIOD = 1 << 8
    STREAM_ID = 1 << 9
    BRANCH_STACK = 1 << 11
    REGS_USER = 1 << 12
    STACK_USER = 1 << 13
    IDENTIFIER = 1 << 16


class Read(IntFlag):
    """Bits of `read_format`."""

    TIME_ENABLED = 1 << 0
    TIME_RUNNING = 1 << 1
    ID = 1 << 2
    GROUP = 1 << 3
    LOST = 1 << 4


class Feature(IntEnum):
    """Sections after the data, and bits of the bitmap in the header."""

    BUILD_ID = 2
    OSRELEASE = 4
    EVENT_DESC = 12


class Mode(IntEnum):
    """The address space of an address: the low three bits of `misc`."""

    UNKNOWN = 0
    KERNEL = 1
    USER = 2
    HYPERVISOR = 3
    GUEST_KERNEL = 4
    GUEST_USER = 5


MODE_MASK = 7
MISC_COMM_EXEC = 1 << 13
# perf sets it on the FORK records that it synthesizes for processes that already ran; their maps follow as records.
MISC_FORK_SYNTHESIZED = 1 << 13
MISC_MMAP_DATA = 1 << 13
MISC_MMAP_BUILD_ID = 1 << 14

# Values of a call chain from here on are not addresses but give the mode of the addresses that follow.
FIRST_MARKER = (1 << 64) - 4095
MARKERS = {
    -32: Mode.HYPERVISOR,
    -128: Mode.KERNEL,
    -512: Mode.USER,
    -640: Mode.USER,  # user frames that the kernel collected later (Linux 6.19)
    -2048: Mode.UNKNOWN,
    -2176: Mode.GUEST_KERNEL,
    -2560: Mode.GUEST_USER,
}

BRANCH_CALL_STACK = 1 << 11
# Default of kernel.perf_event_max_stack.
DEFAULT_MAX_STACK = 127


SALVAGE = "Record again, or read the samples before this place with --salvage."


class Corruption(Exception):  # noqa: N818 - not an error where it is salvaged
    """The recording is corrupt at a byte offset."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset, self.message = offset, message

    def error(self, name: str) -> BrokenProfileError:
        """The error, where the content before the corruption is not salvaged."""
        return BrokenProfileError(f"{name} is corrupt at byte {self.offset}: {self.message}.", hint=SALVAGE)

    def note(self) -> str:
        """The note, where the content before the corruption is salvaged."""
        return f"The recording is corrupt at byte {self.offset} ({self.message}): the samples after it are missing."
