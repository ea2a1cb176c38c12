"""`netprobe bench` on a real server: rounds that pyperf reads, confidence intervals, and errors."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
import referencing

from netprobe import load, render
from netprobe.analysis.confidence import gain_pct, mean
from netprobe.lab.nginx import Nginx, NginxOptions
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.rounds import Round, suite
from netprobe.run.description import RequestsInfo

ROUNDS = 3
NAMES = ["time per request", *(f"latency p{p}" for p in ("50", "90", "99", "99.99"))]


def pyperf(*arguments: object) -> str:
    command = [sys.executable, "-m", "pyperf", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def validate(document: dict) -> dict:
    folder = Path(render.__file__).parent / "schema"
    contents = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in contents
    )
    schema = json.loads((folder / f"{document['command']}.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)
    return document


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    with Nginx(NginxOptions(workers=1)) as server:
        yield server


@pytest.fixture(scope="module")
def measured(nginx: Nginx, netprobe: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("bench") / "run"
    done = netprobe("bench", nginx.url, "-p", nginx.pid, "--rounds", ROUNDS, "-c", 4, "-o", folder, "--json")
    return validate(done.json()), folder


def suite_of(folder: Path) -> dict[str, list[float]]:
    """Values of each benchmark in bench.json, by the end of its name."""
    document = json.loads((folder / "bench.json").read_text())
    return {
        one["metadata"]["name"]: [value for run in one["runs"] for value in run["values"]]
        for one in document["benchmarks"]
    }


def test_pyperf_reads_every_round(measured):
    _, folder = measured
    output = pyperf("stats", folder / "bench.json")
    assert output.count(f"Number of run with values: {ROUNDS}") == len(NAMES)
    assert output.count("Number of warmup per run: 0.3") == 5  # one in three runs
    assert list(suite_of(folder)) == NAMES


def test_printed_numbers_are_those_of_the_suite(measured):
    document, folder = measured
    kept = suite_of(folder)
    rounds = load(folder).table("load_rounds")
    assert document["requests"] == rounds["requests"].sum()
    assert document["rounds"] == len(rounds) == ROUNDS
    rates = rounds["requests"] / rounds["duration_s"]
    assert document["requests_per_second"]["value"] == pytest.approx(rates.mean())
    assert kept["time per request"] == pytest.approx(list(1 / rates))
    for name in ("50", "99.99"):
        values = rounds[f"p{name.replace('.', '_')}_us"]
        assert document["latency_us"][f"p{name}"]["value"] == pytest.approx(values.mean())
        assert kept[f"latency p{name}"] == pytest.approx(list(values / 1e6))
    assert document["per_request"] is None


def test_distribution_includes_every_request(measured):
    """Every request has a latency; wrk adds latencies of requests that it could not send in time."""
    _, folder = measured
    run = load(folder)
    latency = run.table("load_latency").groupby("round")["requests"].sum()
    requests = run.table("load_rounds").set_index("round")["requests"]
    assert (latency >= requests * 0.99).all()


def test_pyperf_compares_two_suites(tmp_path):
    """Twice the throughput is half the time per request, and pyperf calls it faster."""
    rounds = [Round(1.7e9 + n, 1.0, 20_000 + n, 0, {50: 20_000 + n}) for n in range(5)]
    for name, factor in (("a", 1), ("b", 2)):
        made = [Round(one.started, one.seconds, factor * one.requests, 0, one.latency_us) for one in rounds]
        (tmp_path / f"{name}.json").write_bytes(suite(made, made[:1], {}))
    output = pyperf("compare_to", tmp_path / "a.json", tmp_path / "b.json")
    assert "time per request: Mean +- std dev: [a] 50.0 us" in output
    assert "2.00x faster" in output
    # Lower is better for every value of the suite, as pyperf assumes.
    assert "slower" not in output
    assert {benchmark["unit"] for benchmark in units(tmp_path / "a.json")} == {"second"}


def units(path: Path) -> list[dict]:
    """Metadata of each benchmark; metadata that all share are stored once."""
    document = json.loads(path.read_text())
    return [{"unit": "second", **document["metadata"], **one["metadata"]} for one in document["benchmarks"]]


@pytest.mark.kernel
def test_counts_per_request_are_exact(nginx, netprobe, tmp_path):
    """nginx serves each request with one receive and one send; connections are few."""
    done = netprobe("bench", nginx.url, "--record", "--rounds", 2, "-c", 4, "-o", tmp_path / "run", "--json")
    document = validate(done.json())
    by_call = {one["syscall"]: one["per_request"] for one in document["per_request"]["system_calls"]}
    assert document["per_request"]["requests"] == document["requests"]
    assert by_call["recvfrom"] == pytest.approx(1, abs=0.01)
    assert by_call["writev"] == pytest.approx(1, abs=0.01)
    assert document["per_request"]["cpu_us"] > 0.5
    run = load(tmp_path / "run")
    assert run.info.requests == RequestsInfo(count=document["requests"], source="the load generator")
    assert len(run.table("load_rounds")) == 2
    assert (tmp_path / "run" / "bench.json").exists()


def test_text(nginx, netprobe, tmp_path):
    done = netprobe("bench", nginx.url, "--rounds", 2, "-c", 2, "-o", tmp_path / "run")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{nginx.url}: 2 rounds, ")
    assert [line.split("  ")[0] for line in lines[2:]] == ["requests/s", *NAMES[1:]]
    assert "Run written to" in done.err


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_load_generator_avoids_the_cpus_of_the_server(netprobe, tmp_path):
    """A pinned server leaves the other CPUs; an unpinned server leaves none."""
    others = ",".join(map(str, sorted(os.sched_getaffinity(0) - {0})))
    for cpus, words in (((0,), f"on CPU {others} (the server uses 0)"), ((), "on any CPU (the server may use all")):
        with LabServer(ServerOptions(cpus=cpus)) as server:
            url = f"http://127.0.0.1:{server.port}/"
            done = netprobe("bench", url, "--rounds", 2, "-c", 2, "--json", "-o", tmp_path / f"run{len(cpus)}")
        document = validate(done.json())
        assert words in document["load"]
        shared = [one for one in document["warnings"] if "may share CPUs" in one]
        assert bool(shared) is not bool(cpus)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "is not a URL"),
        (["http://127.0.0.1:1/", "--record"], "no visible process listens"),
        (["http://127.0.0.1:1/"], "wrk failed"),
        (["http://127.0.0.1:1/", "--rounds", "1"], "--rounds"),
        (["http://127.0.0.1:1/", "-o", "/nonexistent/run"], "/nonexistent"),
    ],
)
def test_refused(netprobe, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in netprobe("bench", *arguments).refused()
    assert not list(tmp_path.iterdir())


# ---- Without a server ----


def test_confidence_interval_of_a_mean():
    """Three values: t of 2 degrees of freedom is 4.303."""
    found = mean([10.0, 12.0, 14.0])
    half = 4.302653 * 2 / math.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((12, 12 - half, 12 + half), rel=1e-4)
    assert mean([7.0]).low is None


def test_confidence_interval_of_a_gain():
    found = gain_pct([100.0, 102.0, 98.0, 101.0], [150.0, 153.0, 147.0, 151.5])
    assert found.value == pytest.approx(50)
    assert found.low is not None
    assert found.high is not None
    assert 45 < found.low < 50 < found.high < 55
    same = gain_pct([100.0, 110.0, 90.0], [101.0, 111.0, 91.0])
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
