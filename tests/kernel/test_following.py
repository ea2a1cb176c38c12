"""Children, threads and programs that start during a recording; servers started by netprobe."""

import subprocess

import pytest


def test_children_threads_and_programs_are_followed(record_workload, workload, rows):
    result = record_workload("tree", [workload("calls")], "syscalls", "--by", "thread", "--json").json()
    calls: dict[tuple[str, str], int] = {}
    for row in rows(result, syscall="getppid"):
        key = row["process"], row["thread"]
        calls[key] = calls.get(key, 0) + row["calls"]
    assert calls == {
        ("tree", "tree"): 101,
        ("child", "child"): 1009,
        ("calls", "calls"): 503,
        ("tree", "late-thread"): 211,
        ("short-lived", "short-lived"): 150,
    }
    assert len({row["pid"] for row in rows(result, process="short-lived")}) == 50
    assert result["target"]["threads"] == 54
    assert result["dropped"] == []


def test_children_that_started_before_the_recording(gated, recording, rows):
    """The target is the shell that started them."""
    target = gated("counted")
    session = recording("syscalls", "-p", target.pid, "-d", 60, "--json")
    target.go()
    assert rows(session.finish().json(), syscall="getppid")[0]["calls"] == 10_007


def test_a_descendant_that_started_before_the_recording(workload, recording, rows):
    inner = f"{workload('calls')} gate 110 31; exit 0"
    with subprocess.Popen(["sh", "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout.readline() == b"ready\n"
        session = recording("syscalls", "-p", shell.pid, "-d", 60, "--json", "--by", "process")
        shell.communicate(b"g")
    (row,) = rows(session.finish().json(), syscall="getppid")
    assert (row["process"], row["calls"]) == ("calls", 31)
    assert row["pid"] != shell.pid


def strace_counts(command: list[object]) -> dict[str, int]:
    """Number of calls by name, as strace counts them."""
    done = subprocess.run(["strace", "-f", "-c", *command], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stderr.splitlines() if line[:1].isspace() or line[:1].isdigit()]
    return {line[-1]: int(line[3]) for line in lines if len(line) >= 5 and line[-1] != "total"}


def test_a_started_server_is_counted_from_its_first_instruction(workload, netprobe):
    command = [workload("calls"), "now", "110", "7"]
    # strace's table leaves out the call that has no end.
    expected = strace_counts(command) | {"exit_group": 1}
    assert expected["getppid"] == 7
    result = netprobe("syscalls", "--json", "--", *command).json()
    counted = {row["syscall"]: row["calls"] for row in result["syscalls"]}
    # The call that starts it: counted once, as strace does.
    assert counted == expected
    assert result["target"]["command"] == [str(word) for word in command]


def test_a_running_process_has_no_execve(record_workload, rows):
    assert not rows(record_workload("counted", [], "syscalls", "--json").json(), syscall="execve")


def test_started_server_with_threads(workload, netprobe, rows):
    result = netprobe("syscalls", "--by", "thread", "--json", "--", workload("counted"), "now").json()
    assert {row["thread"]: row["calls"] for row in rows(result, syscall="getppid")} == {
        "alpha": 5003, "beta": 3001, "gamma": 2003,
    }  # fmt: skip


def test_events_count_from_the_message_that_netprobe_is_attached(gated, rows):
    """A load may start as soon as it reads the message: no event may be lost."""
    from netprobe.analysis.syscalls import summarise
    from netprobe.engine.options import RecordOptions
    from netprobe.engine.recorded_run import as_run
    from netprobe.engine.recorder import Recorder
    from netprobe.probes.syscalls import Probe

    target = gated("counted")
    options = RecordOptions(pids=(target.pid,), seconds=30)
    recording = Recorder(options, [Probe()]).run(lambda seconds: target.go())
    counted = {row.syscall: row.calls for row in summarise(as_run(recording, options, [Probe()]).tables)}
    assert counted.get("getppid") == 10_007


def test_exit_status_of_a_failing_server(workload, netprobe, rows):
    done = netprobe("syscalls", "--json", "--", workload("counted"), "now", "fail")
    result = done.json()
    assert result["target"]["exit_status"] == 7
    assert "ended with exit status 7" in done.err
    assert rows(result, syscall="getppid")[0]["calls"] == 10_007


def test_a_started_server_ends_with_the_recording(netprobe):
    done = netprobe("syscalls", "-d", "0.5", "--json", "--", "sleep", "67.125")
    assert done.json()["recording"]["stopped_by"] == "duration"
    assert subprocess.run(["pgrep", "-f", "^sleep 67.125"], check=False).returncode == 1


def test_the_output_of_a_server_is_not_in_the_result(netprobe):
    done = netprobe("syscalls", "--json", "--", "sh", "-c", "echo hello; echo there >&2")
    done.json()
    assert "hello" in done.err
    assert "there" in done.err


@pytest.mark.parametrize("name", ["nosuchprogram", "/nosuchdirectory/program", "/etc/passwd", "/"])
def test_no_such_program(netprobe, name):
    said = netprobe("syscalls", "--", name).refused()
    assert name in said
