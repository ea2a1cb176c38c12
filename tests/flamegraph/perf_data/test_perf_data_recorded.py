"""Recordings of perf on this machine fold to the same stacks and counts as `perf script` text."""

import bisect
import gzip
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from flamegraph import ProfileError
from flamegraph.frames import Kind

pytestmark = pytest.mark.kernel

WORKLOAD = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;
static double cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}
__attribute__((noinline)) void inner(double until) {
    while (cpu() < until)
        for (int i = 0; i < 20000; i++) sink += i;
    sink++;
}
__attribute__((noinline)) void middle(double until) { inner(until); sink++; }
__attribute__((noinline)) void outer(double seconds) { middle(cpu() + seconds); sink++; }
__attribute__((noinline)) void faults(void) {
    for (int i = 0; i < 200; i++) { char *p = malloc(1 << 20); memset(p, 1, 1 << 20); free(p); }
    sink++;
}
static void *thread(void *name) {
    prctl(PR_SET_NAME, name);
    outer(0.1);
    return 0;
}
int main(int argc, char **argv) {
    if (argc > 1) { outer(0.1); return 0; }
    pthread_t one, two;
    outer(0.05);
    faults();
    pthread_create(&one, 0, thread, "first pool");
    pthread_create(&two, 0, thread, "second");
    pthread_join(one, 0);
    pthread_join(two, 0);
    if (!fork()) { outer(0.05); execl("./other", "other", "x", (char *)0); _exit(1); }
    wait(0);
    return 0;
}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the workload, under two names."""
    for tool in ("perf", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "work.c").write_text(WORKLOAD)
    command = ["gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"]
    subprocess.run([*command, "-o", "work", "work.c"], cwd=folder, check=True)
    shutil.copy(folder / "work", folder / "other")
    return folder


def record(folder: Path, *options: str) -> Path:
    """Run the workload under `perf record`."""
    path = folder / "perf.data"
    command = ["perf", "record", "-q", "-F", "2000", *options, "-o", path, "--", "./work"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


class Kallsyms:
    """The symbol that ends at an address."""

    def __init__(self) -> None:
        lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
        self._symbols = sorted((int(line[0], 16), line[2]) for line in lines)

    def before(self, function: str) -> str:
        """The function that ends where this one begins."""
        at = next(address for address, name in self._symbols if name == function)
        return self._symbols[bisect.bisect_left(self._symbols, (at, "")) - 1][1]


def explained(reference: Counter, kallsyms: Kallsyms) -> Counter:
    """The result of perf script, with names that differ for a known reason."""
    found: Counter = Counter()
    for (comm, pid, tid, stack), count in reference.items():
        found[comm, pid, tid, tuple(_ours(name, kallsyms) for name in stack)] += count
    return found


def _ours(name: str, kallsyms: Kallsyms) -> str:
    # A call that never returns is the last instruction of its function, and perf looks up the return address, which is
    # in the next function: after x86_64_start_reservations (start_kernel) and _start of ld.so.
    if name == "_dl_start_user":
        return "_start"
    if name == "__pfx_clear_bss":
        return kallsyms.before(name)
    # perf knows BPF programs as modules, but their symbols only where it could query them while recording.
    if name.startswith("[bpf_prog_"):
        return name[1:-1]
    # The version of a symbol is not part of the name of the function.
    return re.sub(r"@@?[A-Z][\w.]*$", "", name)


BPF = ("bpf_prog_", "bpf_trampoline_", "bpf_dispatcher_")
# Functions that run BPF programs. A program that perf has no record of has no name in the recording, and in the text of
# perf script the name of the nearest symbol.
RUNS_BPF = re.compile(r"trace_call_bpf|bpf_trace_run\d+|bpf_overflow_handler|cls_bpf_classify")


def in_bpf(stack: tuple[str, ...]) -> bool:
    """In a BPF program that another process loaded meanwhile, of which perf may or may not know."""
    return any(name.startswith(BPF) or RUNS_BPF.fullmatch(name) for name in stack)


def in_plt(stack: tuple[str, ...]) -> bool:
    """In a linkage table: perf 6.1 has no names there, or says _init, which has no end and goes on that far."""
    return any(name in ("_init", "[work]", "[other]") or name.endswith("@plt") for name in stack)


def in_exec(stack: tuple[str, ...]) -> bool:
    """During execve: perf still uses the maps of the previous program, this library does not."""
    return any("execve" in name for name in stack)


def compare(perf, path: Path, event: str | None = None) -> Counter:
    """Read by both; returns the stacks of this library."""
    profile = perf.read(path, event=event)
    reference = perf.reference(path, event)
    ours, theirs = perf.stacks(profile), explained(reference.samples, Kallsyms())
    assert sum(ours.values()) == sum(theirs.values()) > 100
    assert profile.total == sum(reference.weights.values())
    assert by_thread(ours) == by_thread(theirs)
    for counter in (ours, theirs):
        for key in [key for key in counter if key[0] not in COMMS or any(without(key[3]) for without in EXPLAINED)]:
            del counter[key]
    assert ours - theirs == theirs - ours == Counter()
    assert profile.info.seconds > 0.2
    return ours


# What else runs here is compared by the number of samples: perf's demangler is another one, and writes C++ otherwise.
COMMS = ("work", "first pool", "second", "other", "swapper", "perf")


def by_thread(stacks: Counter) -> Counter:
    """Samples of each thread under each of its names."""
    found: Counter = Counter()
    for key, count in stacks.items():
        found[key[:3]] += count
    return found


EXPLAINED = (in_exec, in_bpf, in_plt)


def share(stacks: Counter, *wanted: str) -> float:
    """Number of samples with all of these frames."""
    return sum(count for key, count in stacks.items() if set(wanted) <= set(key[3])) / sum(stacks.values())


def test_per_process(perf, place):
    stacks = compare(perf, record(place, "-e", "cpu-clock", "-g"))
    assert share(stacks, "main", "outer", "middle", "inner") + share(stacks, "thread", "outer") > 0.8
    assert {key[0] for key in stacks} >= {"work", "first pool", "second", "other"}
    processes = {key[1] for key in stacks}
    assert len(processes) == 2
    # The child had its parent's name and maps before it became another program.
    child = {key[1] for key in stacks if key[0] == "other"}
    assert any(key[1] in child and key[0] == "work" and "inner" in key[3] for key in stacks)


def test_system_wide(perf, place):
    stacks = compare(perf, record(place, "-e", "cpu-clock", "-a", "-g"))
    assert {key[0] for key in stacks} >= {"work", "first pool"}
    assert all("cpu_startup_entry" in key[3] for key in stacks if key[0] == "swapper" and len(key[3]) > 2)


def test_several_events(perf, place):
    path = record(place, "-e", "cpu-clock,page-faults", "-g")
    compare(perf, path, "cpu-clock")
    faults = perf.read(path, event="page-faults")
    reference = perf.reference(path, "page-faults")
    assert faults.count == sum(reference.samples.values())
    assert (faults.info.unit, faults.info.other_events) == ("page-faults", ("cpu-clock",))
    assert perf.read(path).info.event == "cpu-clock"
    with pytest.raises(ProfileError, match="no event cycles"):
        perf.read(path, event="cycles")


def test_compressed(perf, place):
    path = record(place, "-e", "cpu-clock", "-g", "-z")
    assert any(kind == 81 for kind in outer_kinds(path))
    compare(perf, path)


def outer_kinds(path: Path) -> list[int]:
    data = path.read_bytes()
    at, size = int.from_bytes(data[40:48], "little"), int.from_bytes(data[48:56], "little")
    end, kinds = at + size, []
    while at < end:
        kinds.append(int.from_bytes(data[at : at + 4], "little"))
        at += int.from_bytes(data[at + 6 : at + 8], "little")
    return kinds


def test_pipe(perf, place):
    command = "perf record -q -F 2000 -e cpu-clock -g -o - -- ./work | cat > perf.data"
    subprocess.run(["sh", "-c", command], cwd=place, check=True, stderr=subprocess.DEVNULL)
    path = place / "perf.data"
    assert path.read_bytes()[8:16] == b"\x10" + b"\0" * 7
    compare(perf, path)
    packed = place / "perf.data.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert perf.stacks(perf.read(packed)) == perf.stacks(perf.read(path))


def test_build_ids_in_the_maps(perf, place):
    compare(perf, record(place, "-e", "cpu-clock", "-g", "--buildid-mmap"))


def test_without_chains(perf, place):
    stacks = compare_leaves(perf, record(place, "-e", "cpu-clock"))
    assert share(stacks, "inner") > 0.5


def compare_leaves(perf, path: Path) -> Counter:
    """`perf script` prints the one frame on the line of the sample."""
    text = subprocess.run(
        ["perf", "script", "-f", "-F", "comm,pid,tid,ip,sym", "-i", path], capture_output=True, text=True, check=True
    ).stdout
    theirs: Counter = Counter()
    programs = perf.programs(path)
    for line in text.splitlines():
        found = re.fullmatch(r"\s*(.*?)\s+(\d+)/(\d+)\s+([0-9a-f]+) (.*?)\s*", line)
        assert found, line
        name = perf.program_at(programs, int(found[4], 16)) or found[5]
        theirs[found[1], int(found[2]), int(found[3]), name] += 1
    ours: Counter = Counter()
    stacks = perf.stacks(perf.read(path))
    for (comm, pid, tid, (name,)), count in stacks.items():
        ours[comm, pid, tid, name] += count
    named = Counter()
    for (*who, name), count in theirs.items():
        if not name.startswith(("[", *BPF)):
            named[*who, re.sub(r"@@?[A-Z][\w.]*$", "", name)] += count
    known = Counter({key: count for key, count in ours.items() if not key[3].startswith(("[", *BPF))})
    assert known == named
    assert sum(ours.values()) == sum(theirs.values()) > 100
    return stacks


def test_dwarf(perf, place):
    path = record(place, "-e", "cpu-clock", "--call-graph", "dwarf")
    profile = perf.read(path)
    assert profile.info.notes[0].startswith("Recorded with --call-graph dwarf: perf script")
    stacks, reference = perf.stacks(profile), perf.reference(path)
    assert stacks == reference.samples
    assert share(stacks, "outer", "middle", "inner") > 0.6
    assert share(stacks, "main", "outer") > 0.1


def test_kernel_kinds_and_modules(perf, place):
    profile = perf.read(record(place, "-e", "cpu-clock", "-a", "-g"))
    by_name = {frame.name: frame for frame in profile.frames if frame.module != str(place / "other")}
    assert (by_name["do_syscall_64"].kind, by_name["do_syscall_64"].module) == (Kind.KERNEL, "[kernel]")
    assert (by_name["inner"].kind, by_name["inner"].module) == (Kind.USER, str(place / "work"))


def test_truncated_by_a_byte(perf, place):
    """A real recording, truncated in its last records and elsewhere."""
    path = record(place, "-e", "cpu-clock", "-g")
    whole = path.read_bytes()
    at, size = int.from_bytes(whole[40:48], "little"), int.from_bytes(whole[48:56], "little")
    cut_file = place / "cut.data"
    last = 0
    for cut in [at + size // 3, at + size // 2, *range(at + size - 60, at + size, 9)]:
        cut_file.write_bytes(whole[:cut])
        with pytest.raises(ProfileError, match=rf"byte {cut}: the file ends"):
            perf.read(cut_file)
        saved = perf.read(cut_file, salvage=True)
        assert saved.count >= last
        last = saved.count
    assert last > 100
