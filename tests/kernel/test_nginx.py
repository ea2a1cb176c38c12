"""nginx under wrk: netprobe's numbers, wrk's and the Run's agree."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.timing("rates are compared with those of a load generator that runs at the same time")

CONFIG = """
worker_processes 2;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 "ok"; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, wait_for):
    """(PID of the master, port)"""
    if not (shutil.which("nginx") and shutil.which("wrk")):
        pytest.fail("these tests need nginx (nginx-light) and wrk: `make test` installs them")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port))
    with subprocess.Popen(
        ["nginx", "-c", folder / "nginx.conf", "-p", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as master:
        wait_for(lambda: answers(port), "nginx")
        yield master.pid, port
        master.terminate()
        master.wait(10)


def wrk(port: int, seconds: int = 2) -> int:
    """Requests that were answered."""
    command = ["wrk", "-c", "8", "-t1", "-d", str(seconds), f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    requests = int(re.search(r"(\d+) requests in", said)[1])
    assert requests > 1000, said
    return requests


def test_counts_agree_with_wrk_and_with_the_run(nginx, recording, tmp_path):
    import netprobe

    master, port = nginx
    run = tmp_path / "run"
    session = recording("syscalls", "-p", master, "-d", 60, "--json", "-o", run)
    requests = wrk(port)
    done = session.stop()
    calls = {row["syscall"]: row["calls"] for row in done.json()["syscalls"]}
    assert calls["recvfrom"] == pytest.approx(requests, rel=0.01)
    assert calls["writev"] == pytest.approx(requests, rel=0.01)
    table = netprobe.load(run).table("syscalls")
    assert table.groupby("syscall")["calls"].sum().to_dict() == calls
    workers = table[table["syscall"] == "writev"].groupby("pid")["calls"].sum()
    assert set(workers.index) <= workers_of(master)
    assert netprobe.load(run).info.recording.stopped_by == "SIGINT"


def workers_of(master: int) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()}


def test_text_agrees_with_its_run(nginx, recording, tmp_path):
    import netprobe

    master, port = nginx
    session = recording("syscalls", "-p", master, "-d", 60, "-T", 0, "-o", tmp_path / "run")
    requests = wrk(port, 1)
    shown = session.stop().out
    table = netprobe.load(tmp_path / "run").table("syscalls").groupby("syscall")["calls"].sum().to_dict()
    lines = [line.split() for line in shown.splitlines()[2:]]
    counts = {words[0]: int(words[1]) for words in lines if words[0] in table}
    assert counts == table
    assert counts["writev"] == pytest.approx(requests, rel=0.01)


def test_epoll_waits_have_timeouts(nginx, recording, rows):
    master, port = nginx
    session = recording("syscalls", "-p", master, "-d", 60, "--json")
    wrk(port, 1)
    (row,) = rows(session.stop().json(), syscall="epoll_wait")
    assert sum(row["timeouts"].values()) == row["calls"] > 0


def test_next_tasks_are_named(nginx, recording, rows, tmp_path):
    import netprobe

    master, port = nginx
    session = recording("switches", "-p", master, "-d", 3, "--json", "-o", tmp_path / "run")
    wrk(port, 2)
    result = session.finish().json()
    workers = [row for row in result["threads"] if row["process"] == "nginx"]
    takers = {name for row in workers for name in (*row["preempted_by"], *row["followed_by"])}
    assert takers & {"wrk", "nginx"}
    assert not [name for name in takers if name.startswith("swapper") or name == "(idle)"]
    assert 2.9 < result["recording"]["seconds"] < 3.3
    table = netprobe.load(tmp_path / "run").table("switches")
    assert int(table["voluntary"].sum()) == sum(row["voluntary"] for row in result["threads"])
    assert int(table["involuntary"].sum()) == sum(row["involuntary"] for row in result["threads"])
    assert set(table["pid"]) <= {master, *workers_of(master)}


def test_machine_rate_under_load(nginx, recording):
    def since_boot() -> int:
        return int(Path("/proc/stat").read_text().split("\nctxt ")[1].split()[0])

    master, port = nginx
    session = recording("switches", "-p", master, "-d", 60, "--json", attached=False)
    session.attached()
    first = since_boot()
    wrk(port, 1)
    last = since_boot()
    total = sum(interval["machine_switches"] for interval in session.stop().json()["machine"])
    # netprobe looks a moment later than we do first, and a moment later last.
    assert total == pytest.approx(last - first, rel=0.1)


def test_cost_is_reported(nginx, recording):
    master, port = nginx
    session = recording("syscalls", "-p", master, "-d", 60, "--json")
    wrk(port, 1)
    result = session.stop().json()
    (enter,) = [program for program in result["cost"]["programs"] if program["program"] == "on_sys_enter"]
    assert enter["run_cnt"] > 0
    assert enter["run_time_ns"] > 0
    assert enter["mean_ns"] == pytest.approx(enter["run_time_ns"] / enter["run_cnt"])
    assert 0 < result["cost"]["estimated_cpu_pct_of_one"] < 100 * os.cpu_count()
    assert any("sys_enter" in where for where in result["attached"])
