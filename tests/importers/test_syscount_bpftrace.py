"""syscount of bpftrace, and similar one-liners: texts, and bpftrace on a workload with a known number of calls."""

import subprocess

import pytest

CALL, CALLS = "sched_get_priority_max", 10_007

TEXT = """\
Attaching 3 probes...
Counting syscalls... Hit Ctrl-C to end.
^C
Top 10 syscalls IDs:
@syscall[9]: 326
@syscall[0]: 1335
@syscall[202]: 22231

Top 10 processes:
@process[web server]: 4
@process[netprobe]: 20334

"""


def calls(report):
    (table,) = [table for table in report.contents.tables if table.name == "syscalls"]
    return list(table.rows("syscall", "calls"))


def test_numbers_are_named(report):
    found = report(TEXT)
    assert calls(found) == [("mmap", 326), ("read", 1335), ("futex", 22_231)]
    assert found.contents.notes == ("system calls are numbers, assumed to be of x86_64 (--arch)",)
    assert not found.contents.only_most_frequent
    (processes,) = [table for table in found.contents.tables if table.name == "imported_process_calls"]
    assert list(processes.rows("process", "calls")) == [("web server", 4), ("netprobe", 20_334)]


def test_another_architecture(report):
    # arm64: 63 is read, 64 write (include/uapi/asm-generic/unistd.h).
    text = "@syscall[63]: 5\n@syscall[64]: 7\n@syscall[9999]: 1\n"
    assert calls(report(text, "aarch64")) == [("read", 5), ("write", 7), ("syscall_9999", 1)]
    assert calls(report(text)) == [("uname", 5), ("semget", 7), ("syscall_9999", 1)]


def test_names_instead_of_numbers(report):
    text = "@[tracepoint:syscalls:sys_enter_read]: 12\n@[tracepoint:syscalls:sys_enter_openat]: 3\n"
    found = report(text)
    assert calls(found) == [("read", 12), ("openat", 3)]
    assert found.contents.notes == ()


def test_list_of_maximum_length_may_be_incomplete(report):
    assert report("Top 2 syscalls IDs:\n@syscall[0]: 1\n@syscall[1]: 2\n").contents.only_most_frequent


def test_malformed_rows(report):
    found = report("@syscall[0]: 1\n@syscall[1]: many\n@syscall[99999999999999999999]: 1\n@syscall[2]: 3\n")
    assert (found.contents.rows, found.skipped_lines) == (2, 2)


@pytest.mark.kernel
def test_bpftrace_counts_the_calls_of_the_workload(tool, working, report):
    with working(CALLS) as (pid, work):
        program = (
            'BEGIN { printf("begun\\n"); } '
            f"tracepoint:raw_syscalls:sys_enter /pid == {pid}/ {{ @syscall[args->id] = count(); }}"
        )
        counting = subprocess.Popen(
            [tool("bpftrace"), "-e", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            lines = iter(counting.stdout.readline, "")
            if not any(line == "begun\n" for line in lines):
                pytest.skip(f"bpftrace does not run here: {counting.stderr.read()[-300:]}")
            work()
            counting.terminate()
            out, _ = counting.communicate(timeout=30)
        finally:
            counting.kill()
            counting.wait()
    assert dict(calls(report(out)))[CALL] == CALLS
