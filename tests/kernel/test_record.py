"""`netprobe record`: all probes in one Run, its duration, the number of requests, series."""

import signal
import subprocess
import sys
import time

import pytest

import netprobe as package
from netprobe.analysis.request_count import request_count
from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import wrk_command
from netprobe.load.reports import requests_in
from netprobe.run.description import RequestsInfo

TABLES = {
    "syscalls", "switches", "next_tasks", "serving", "reuseport_groups", "messages", "busy_polls", "programs",
    "profile_samples", "threads", "intervals",
}  # fmt: skip


@pytest.fixture
def nginx():
    with Nginx(NginxOptions(workers=2)) as server:
        yield server


@pytest.mark.timing("counts in sampling windows under load")
def test_record_while_the_load_runs(netprobe, nginx, tmp_path):
    report = tmp_path / "wrk.txt"
    load = f"{' '.join(wrk_command(nginx.url, 2))} >{report}"
    arguments = ("-p", nginx.pid, "-o", tmp_path / "run", "--while", load, "--requests-from", report)
    done = netprobe("record", *arguments)
    assert done.status == 0, done.err
    run = package.load(tmp_path / "run")
    assert set(run.tables) >= TABLES
    assert run.info.recording.stopped_by == "command exited"
    assert run.seconds == pytest.approx(2, abs=0.8)
    requests = requests_in(report)
    assert run.info.requests == RequestsInfo(count=requests, source="wrk.txt")
    accepted = int(run.table("messages")["accepted"].sum())
    # wrk reports less than it sent: what was under way at its end.
    assert accepted == pytest.approx(requests, rel=0.02)
    assert f"{requests / run.seconds:.0f} requests per second (wrk.txt)" in done.out
    calls = run.table("syscalls").groupby("syscall")["calls"].sum().astype(int)
    assert calls["writev"] == pytest.approx(requests, rel=0.02)
    assert run.table("programs")["path"].str.endswith("nginx").all()
    assert run.table("programs")["build_id"].str.len().min() == 40
    # Attached for the time alone in which run times are kept, so there is nothing to scale.
    (serving,) = [program for program in run.info.cost.programs if program.program == "on_serving_call"]
    assert serving.estimated_total_ns == serving.run_time_ns > 0


@pytest.mark.timing("counts in sampling windows under load")
def test_a_load_generator_that_has_ended_was_on_this_host(netprobe, tmp_path):
    """Its connections are closed when the recording stops; running on another CPU is no finding."""
    with LabServer(ServerOptions(threads=1, cpus=(0,))) as server:
        load = f"taskset -c 1 {' '.join(wrk_command(f'http://127.0.0.1:{server.port}/', 2))}"
        done = netprobe("record", "-p", server.pid, "-o", tmp_path / "run", "--while", load, "--json")
    document = done.json()
    assert "locality-broken" not in {one["code"] for one in document["findings"]}
    assert "locality-broken" in document["pass"]


@pytest.mark.timing("counts in sampling windows under load")
def test_light_counts_with_all_probes_in_the_same_sampling_windows(netprobe, nginx, tmp_path):
    report = tmp_path / "wrk.txt"
    load = f"{' '.join(wrk_command(nginx.url, 4))} >{report}"
    arguments = ("-p", nginx.pid, "-o", tmp_path / "run", "--while", load, "--requests-from", report)
    done = netprobe("record", "--light", *arguments)
    assert done.status == 0, done.err
    run = package.load(tmp_path / "run")
    assert run.elapsed_seconds == pytest.approx(4, abs=1)
    assert run.seconds == pytest.approx(0.15 * run.elapsed_seconds, rel=0.35)
    assert f"{run.seconds:.1f} s counted of {run.elapsed_seconds:.1f} s (stopped when the command exited)" in done.out
    requests = request_count(run)
    assert requests.count == pytest.approx(requests_in(report) * run.seconds / run.elapsed_seconds)
    calls = run.table("syscalls").groupby("syscall")["calls"].sum().astype(int)
    # Of the load as a whole, of which the windows are a sample; and of what another probe saw in the same windows.
    assert calls["writev"] == pytest.approx(requests.count, rel=0.25)
    accepted = int(run.table("messages")["accepted"].sum())
    assert accepted > 1000
    assert calls["recvfrom"] == pytest.approx(accepted, abs=20)
    assert run.table("profile_samples")["samples"].sum() > 50
    assert run.table("intervals")["duration_s"].max() < 0.3
    assert run.info.cost.estimated_cpu_pct_of_one < 10


@pytest.mark.timing("counts in sampling windows under load")
def test_light_takes_all_samples_in_sampling_windows(netprobe, tmp_path):
    script = "import time; end = time.time() + 15\nwhile time.time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", script]) as target:
        done = netprobe("record", "--light", "-p", target.pid, "-d", 5, "-o", tmp_path / "run")
        target.terminate()
    assert done.status == 0, done.err
    run = package.load(tmp_path / "run")
    assert run.table("profile_samples")["samples"].sum() == pytest.approx(99 * run.elapsed_seconds, rel=0.2)


def test_messages_are_not_called_requests(netprobe, nginx, tmp_path):
    done = netprobe("record", "-p", nginx.pid, "-o", tmp_path / "run", "--while", " ".join(wrk_command(nginx.url, 1)))
    assert "messages per second (messages read from accepted connections)" in done.out
    assert "requests per second" not in done.out


def test_a_series(netprobe, workload, tmp_path):
    with subprocess.Popen(["sleep", "60"]) as target:
        done = netprobe("record", "-p", target.pid, "-d", 0.5, "--repeat", 3, "-o", tmp_path / "series")
        target.terminate()
    assert done.status == 0, done.err
    assert sorted(path.name for path in (tmp_path / "series").iterdir()) == ["1", "2", "3"]
    assert all(package.load(path).seconds > 0.3 for path in (tmp_path / "series").iterdir())


def test_ctrl_c_stops_the_series(recording, tmp_path):
    session = recording("record", "-d", 60, "--repeat", 3, "-o", tmp_path / "series")
    done = session.stop(signal.SIGINT)
    assert done.status == 0, done.err
    assert "The series ends here, with 1 Run of 3, the last one cut short." in done.err
    assert [path.name for path in (tmp_path / "series").iterdir()] == ["1"]


def test_a_series_that_failed_can_be_repeated(netprobe, tmp_path):
    series = tmp_path / "series"
    assert "no process" in netprobe("record", "-p", 4194300, "-d", 1, "--repeat", 2, "-o", series).err
    assert not series.exists()
    assert netprobe("record", "-d", 0.3, "--repeat", 2, "-o", series).status == 0


def test_a_series_does_not_mix_with_another(netprobe, tmp_path):
    (tmp_path / "series").mkdir()
    said = netprobe("record", "-d", 0.2, "--repeat", 2, "-o", tmp_path / "series").refused()
    assert "exists already" in said


def test_a_target_that_ends_early(netprobe, tmp_path):
    # Long enough for a slow machine to begin within it.
    script = "import time; end = time.time() + 5\nwhile time.time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", script]) as target:
        done = netprobe("record", "-p", target.pid, "-d", 30, "-o", tmp_path / "run")
    assert done.status == 0, done.err
    assert "stopped when the target exited" in done.out
    run = package.load(tmp_path / "run")
    assert run.seconds < 6
    assert run.table("profile_samples")["samples"].sum() > 50 * run.seconds


def test_ctrl_c_gives_the_result(recording, tmp_path):
    session = recording("record", "-d", 60, "-o", tmp_path / "run")
    done = session.stop(signal.SIGINT)
    assert done.status == 0, done.err
    assert package.load(tmp_path / "run").info.recording.stopped_by == "SIGINT"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "does not contain a number"), ("Requests/sec: 12\n", "does not contain a number")],
)
def test_a_report_without_a_number(netprobe, tmp_path, text, words):
    (tmp_path / "words").write_text(text)
    report = tmp_path / "report.txt"
    load = f"sleep 0.3; cat {tmp_path / 'words'} >{report}"
    done = netprobe("record", "-o", tmp_path / "run", "--while", load, "--requests-from", report)
    assert done.status == 2
    assert words in done.err
    assert package.load(tmp_path / "run").info.requests is None


def test_an_older_report_is_refused(netprobe, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("23 requests in 2.00s\n")
    done = netprobe("record", "-o", tmp_path / "run", "--while", "sleep 0.3", "--requests-from", report)
    assert done.status == 2
    assert "written before the recording began" in done.err
    assert package.load(tmp_path / "run").info.requests is None


def of_group(number):
    """PIDs of the processes in a group that are not zombies."""
    command = ["pgrep", "--runstates", "R,S,D,T", "-g", str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_the_load_ends_with_the_recording(netprobe, tmp_path):
    """The child of the shell holds the pipe: the test takes a minute if the child is not ended."""
    mark = tmp_path / "group"
    load = f"echo $$ >{mark}; sleep 61; true"
    arguments = ("-d", 0.5, "-o", tmp_path / "run", "--while", load, "--requests-from", tmp_path / "report")
    done = netprobe("record", *arguments, timeout=30)
    assert f"while `{load}` runs, for 0.5 s at most" in done.err
    assert "-d stopped the recording before the load generator had ended" in done.err
    assert package.load(tmp_path / "run").info.recording.stopped_by == "duration"
    assert not of_group(int(mark.read_text()))


def test_ctrl_c_reaches_the_load_which_prints_its_report(recording, nginx, tmp_path):
    report = tmp_path / "wrk.txt"
    load = f"{' '.join(wrk_command(nginx.url, 60))} >{report}; true"
    arguments = ("-p", nginx.pid, "-o", tmp_path / "run", "--while", load, "--requests-from", report)
    session = recording("record", *arguments)
    time.sleep(1.5)
    done = session.stop(signal.SIGINT)
    assert done.status == 0, done.err
    run = package.load(tmp_path / "run")
    assert run.info.recording.stopped_by == "SIGINT"
    requests = run.info.requests.count
    assert requests == requests_in(report) > 100
    assert int(run.table("messages")["accepted"].sum()) == pytest.approx(requests, rel=0.2)


def test_a_load_that_fails_is_reported(netprobe, tmp_path):
    done = netprobe("record", "-o", tmp_path / "run", "--while", "sleep 0.5; exit 3")
    assert "`sleep 0.5; exit 3` ended with exit status 3" in done.err
    assert package.load(tmp_path / "run").seconds < 5
