"""perf_event_open(2): events that call a BPF program, and side-band events of new processes and mapped files.

Source: include/uapi/linux/perf_event.h; the function of BCC cannot request mapping records.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from netprobe.errors import NetprobeError, NotPossibleHereError
from netprobe.probes.base import Kprobe, PerfEvent

# type, size, config, sample_freq, sample_type, read_format, flags, wakeup_watermark, config1; zeros up to 128 bytes.
_ATTR = struct.Struct("=IIQQQQQI4xQ64x")
_HARDWARE, _SOFTWARE = 0, 1
_EVENTS = {"cycles": (_HARDWARE, 0), "cpu-clock": (_SOFTWARE, 0)}
_DUMMY = 9
_BIT = {name: 1 << bit for name, bit in (
    ("mmap", 8), ("comm", 9), ("freq", 10), ("task", 13), ("watermark", 14), ("mmap2", 23), ("comm_exec", 24)
)}  # fmt: skip
# perf_event_open by architecture
_NUMBER = {"x86_64": 298, "aarch64": 241}.get(os.uname().machine, -1)
_CLOEXEC = 8
_IOC_ENABLE, _IOC_DISABLE, _IOC_SET_BPF = 0x2400, 0x2401, 0x40042408
_HEAD, _TAIL = 1024, 1032
_RING_PAGES = 128
_HEADER = struct.Struct("=IHH")
RECORD_LOST = 2


def online_cpus() -> list[int]:
    """Numbers of the CPUs on which events can be opened."""
    cpus: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def attach_samples(point: PerfEvent, program: int) -> tuple[int, ...]:
    """Attach a program to an event on every CPU; return descriptors to close. Raises `NotPossibleHereError`."""
    kind, config = _EVENTS[point.event]
    links: list[int] = []
    try:
        for cpu in online_cpus():
            links.append(_open(kind, config, cpu, frequency=point.frequency, flags=_BIT["freq"]))
            fcntl.ioctl(links[-1], _IOC_SET_BPF, program)
            fcntl.ioctl(links[-1], _IOC_ENABLE, 0)
    except OSError as error:
        for link in links:
            os.close(link)
        limit = _setting("perf_event_max_sample_rate")
        if point.frequency > (limit or point.frequency):
            raise NetprobeError(
                f"The kernel takes at most {limit} samples per second, not {point.frequency}.",
                hint="Use a lower -F, or raise the sysctl kernel.perf_event_max_sample_rate.",
            ) from error
        raise NotPossibleHereError(
            f"The kernel did not let netprobe attach to {point}: {error.strerror}.{_advice(error)}"
        ) from error
    return tuple(links)


def pause_samples(links: Sequence[int]) -> None:
    """Stop sampling: on a virtual machine a sample costs tens of microseconds, whether or not it is counted."""
    for link in links:
        fcntl.ioctl(link, _IOC_DISABLE, 0)


def continue_samples(links: Sequence[int]) -> None:
    """Continue sampling."""
    for link in links:
        fcntl.ioctl(link, _IOC_ENABLE, 0)


def _advice(error: OSError) -> str:
    """Kernels of Debian and Ubuntu have levels above 2, which require CAP_SYS_ADMIN."""
    level = _setting("perf_event_paranoid")
    if error.errno == errno.EACCES and level is not None and level > 2:
        return (
            f" The sysctl kernel.perf_event_paranoid is {level}, which restricts perf events to CAP_SYS_ADMIN: "
            "set it to 2, or record as root."
        )
    return ""


def _setting(name: str) -> int | None:
    try:
        return int(Path("/proc/sys/kernel", name).read_text())
    except (OSError, ValueError):
        return None


def attach_kprobe(point: Kprobe, program: int) -> int:
    """Attach a program to a kernel function by the kprobe PMU (4.17); return the link. Raises `OSError`."""
    try:
        kind = int(Path("/sys/bus/event_source/devices/kprobe/type").read_text())
    except FileNotFoundError:
        raise OSError(errno.EOPNOTSUPP, "it is built without kprobes") from None
    name = ctypes.create_string_buffer(point.kernel_function.encode())
    # Bit 0 of config: at the return of the function. config1 has the address of its name.
    link = _open(kind, int(point.at_return), 0, config1=ctypes.addressof(name))
    try:
        fcntl.ioctl(link, _IOC_SET_BPF, program)
        fcntl.ioctl(link, _IOC_ENABLE, 0)
    except OSError:
        os.close(link)
        raise
    return link


def _open(
    kind: int, config: int, cpu: int, *, frequency: int = 0, flags: int = 0, watermark: int = 0, config1: int = 0
) -> int:
    attr = _ATTR.pack(kind, _ATTR.size, config, frequency, 0, 0, flags, watermark, config1)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.syscall(_NUMBER, attr, -1, cpu, -1, _CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


class TaskEvents:
    """Forks, execs, exits and executable mappings of the whole machine: the side-band events of perf."""

    def __init__(self) -> None:
        self._rings: list[_Ring] = []
        flags = sum(_BIT[name] for name in ("mmap", "mmap2", "comm", "comm_exec", "task", "watermark"))
        try:
            for cpu in online_cpus():
                self._rings.append(_Ring(_open(_SOFTWARE, _DUMMY, cpu, flags=flags, watermark=1)))
        except OSError as error:
            self.close()
            raise NotPossibleHereError(
                f"The kernel did not let netprobe follow new processes and their files: {error.strerror}."
            ) from error

    @property
    def descriptors(self) -> Sequence[int]:
        """Readable when there are records."""
        return [ring.fd for ring in self._rings]

    def read(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, misc, body) of every new record."""
        for ring in self._rings:
            yield from _records(ring.read())

    def close(self) -> None:
        """Close all events."""
        for ring in self._rings:
            ring.close()
        self._rings.clear()


def _records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    position = 0
    while position + _HEADER.size <= len(data):
        kind, misc, size = _HEADER.unpack_from(data, position)
        yield kind, misc, data[position + _HEADER.size : position + size]
        position += size


class _Ring:
    """One CPU's ring buffer."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._size = _RING_PAGES * mmap.PAGESIZE
        self._memory = mmap.mmap(fd, mmap.PAGESIZE + self._size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def read(self) -> bytes:
        head, tail = struct.unpack_from("=QQ", self._memory, _HEAD)
        begin, end = tail % self._size, head % self._size
        base = mmap.PAGESIZE
        if head == tail:
            return b""
        if begin < end:
            data = self._memory[base + begin : base + end]
        else:
            data = self._memory[base + begin : base + self._size] + self._memory[base : base + end]
        struct.pack_into("=Q", self._memory, _TAIL, head)
        return data

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
