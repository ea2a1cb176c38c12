"""Numbers of the perf.data format, of uapi/linux/perf_event.h and perf's Documentation/perf.data-file-format.txt."""

from __future__ import annotations

from enum import IntEnum, IntFlag

MAGIC = b"PERFILE2"
MAGIC_FOREIGN = MAGIC[::-1]
HEADER_BYTES = 104
PIPE_HEADER_BYTES = 16


class Record(IntEnum):
    """Types of records that this reader acts on; from 64 on they are perf's own, not the kernel's."""

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


FIRST_OF_PERF = 64


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
    """Sections behind the data, and bits of the header's map."""

    BUILD_ID = 2
    OSRELEASE = 4
    EVENT_DESC = 12


class Mode(IntEnum):
    """Where an address belongs: the low three bits of `misc`."""

    UNKNOWN = 0
    KERNEL = 1
    USER = 2
    HYPERVISOR = 3
    GUEST_KERNEL = 4
    GUEST_USER = 5


MODE_MASK = 7
MISC_COMM_EXEC = 1 << 13
# perf sets it on the FORK records that it makes up for processes that ran before; their maps follow as records.
MISC_FORK_MADE_UP = 1 << 13
MISC_MMAP_DATA = 1 << 13
MISC_MMAP_BUILD_ID = 1 << 14

# A chain's values from here on are no addresses but say to whom those that follow belong.
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
# kernel.perf_event_max_stack where nothing else is set
DEFAULT_MAX_STACK = 127
