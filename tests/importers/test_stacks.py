"""Profiles: perf.data, its text, folded stacks; results of rules for stacks without metadata."""

import gzip
import shutil
import subprocess
import sys

import pytest

import flamegraph
from netprobe import compare
from netprobe.importers.imported_run import as_run
from netprobe.importers.reading import read_reports
from netprobe.rules.context import context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass
from netprobe.rules.registry import all_rules
from netprobe.run.profile import read_profile

BURN = "import time\nwhile time.process_time() < 0.6: sum(range(1000))"
# Like the first flame graph of the investigation: 53.1 % in one function of the driver.
HOT = "".join(
    f"reactor-{thread};reactor::run;native_stack::poll;rte_eth_tx_burst;eth_ena_xmit_pkts 531\n" for thread in range(4)
) + "".join(f"reactor-{n % 4};reactor::run;task_{n};part_{n} 37\n" for n in range(50))


def result_of(run, code):
    (rule,) = [rule for rule in all_rules() if code == rule.CODE]
    return context_of(run).result(rule)


def imported(path, seconds=None):
    (report,) = read_reports(path)
    return as_run([report], seconds)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A perf.data of a workload of 0.6 s."""
    perf = shutil.which("perf")
    if perf is None:
        pytest.skip("perf is not installed")
    path = tmp_path_factory.mktemp("perf") / "perf.data"
    command = [
        perf,
        "record",
        "-q",
        "-e",
        "cpu-clock",
        "-F",
        "499",
        "-g",
        "-o",
        path,
        "--",
        sys.executable,
        "-S",
        "-c",
        BURN,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or not path.exists():
        pytest.skip(f"perf record does not run here: {done.stderr[-300:]}")
    return path


def test_perf_data(recording):
    run, alone = imported(recording), flamegraph.read(recording)
    profile = read_profile(run.tables)
    assert (profile.count, profile.total) == (alone.count, alone.total)
    assert profile.count > 50
    assert run.seconds == pytest.approx(alone.info.seconds)
    assert run.seconds > 0.3
    assert run.info.recording.intervals == len(run.tables["intervals"])
    assert sum(length for (length,) in run.tables["intervals"].rows("duration_s")) == pytest.approx(run.seconds)
    assert run.info.probes == ["perf.data"]
    # perf.data contains the time on CPU, so that costs are known.
    assert context_of(run).cpu_seconds == pytest.approx(alone.total / 1e9)
    assert not isinstance(result_of(run, "kernel-hooks"), Inconclusive)


def test_perf_script_and_folded_are_the_same(recording, tmp_path):
    text = subprocess.run(
        [shutil.which("perf"), "script", "-i", recording], capture_output=True, check=True, timeout=60
    ).stdout
    (tmp_path / "script.txt.gz").write_bytes(gzip.compress(text))
    script = read_profile(imported(tmp_path / "script.txt.gz").tables)
    alone = flamegraph.read(recording)
    assert script.count == alone.count
    alone.write(tmp_path / "out.folded")
    folded = read_profile(imported(tmp_path / "out.folded").tables)
    assert folded.total == pytest.approx(alone.total)


def test_two_recordings_compared(recording):
    before, after = imported(recording), imported(recording)
    found = compare(before, after)
    assert not found.changed
    assert {row.verdict for row in found.rows if row.p is not None} <= {"within noise"}


def test_truncated_recording_is_read_up_to_the_end(recording, tmp_path):
    content = recording.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) * 2 // 3])
    run = imported(tmp_path / "cut")
    assert 0 < read_profile(run.tables).count <= flamegraph.read(recording).count
    assert run.info.imported.notes


def test_a_function_that_dominates(tmp_path):
    (tmp_path / "f").write_text(HOT)
    run = imported(tmp_path / "f")
    found = result_of(run, "hot-frame")
    assert isinstance(found, Finding)
    assert "eth_ena_xmit_pkts" in found.summary
    assert "53 %" in found.summary
    assert "the numbers of the folded stacks are assumed to be samples" in run.info.imported.notes


def test_a_balanced_poll_loop_has_no_hot_frame(tmp_path):
    parts = (("recv_burst", 250), ("work", 250), ("send_burst", 200))
    loop = "".join(f"lcore-1;main;poll_once;{name} {samples}\n" for name, samples in parts)
    (tmp_path / "f").write_text(loop + "".join(f"lcore-1;main;task_{n};part_{n} 6\n" for n in range(50)))
    assert isinstance(result_of(imported(tmp_path / "f"), "hot-frame"), Pass)


def test_stacks_without_kernel_marks_are_inconclusive(tmp_path):
    (tmp_path / "f").write_text(HOT)
    for code in ("kernel-hooks", "mitigation-cost"):
        answer = result_of(imported(tmp_path / "f"), code)
        assert isinstance(answer, Inconclusive)
        assert "stacks that mark kernel functions" in answer.reason
    (tmp_path / "f").write_text(HOT + "reactor-0;do_syscall_64_[k];tcp_sendmsg_[k] 100\n")
    assert isinstance(result_of(imported(tmp_path / "f"), "kernel-hooks"), Pass)


def test_stacks_of_waits_are_not_samples(tmp_path):
    (tmp_path / "f").write_text("web;epoll_wait;schedule_[k];finish_task_switch_[k] 5310000\nweb;work 12\n")
    answer = result_of(imported(tmp_path / "f"), "hot-frame")
    assert isinstance(answer, Inconclusive)
    assert "numbers of samples" in answer.reason


def test_single_line_without_newline(tmp_path):
    (tmp_path / "f").write_text("web;main;work 97")
    assert read_profile(imported(tmp_path / "f").tables).count == 97


def test_fractions_are_not_samples(tmp_path):
    (tmp_path / "f").write_text("web;a 0.5\nweb;b 99.5\n")
    assert isinstance(result_of(imported(tmp_path / "f"), "hot-frame"), Inconclusive)


def test_with_counts_of_another_tool(reports, tmp_path, recording):
    (tmp_path / "calls").write_text("SYSCALL COUNT\nread 101\nsendto 101\n")
    both = [*read_reports(recording), *read_reports(tmp_path / "calls")]
    run = as_run(both, 1.0)
    # The calls are known for the whole time only, so the Run has one interval.
    assert len(run.tables["intervals"]) == 1
    assert set(run.tables["profile_samples"].columns["interval"]) == {0}
    assert compare(run, run).rows
