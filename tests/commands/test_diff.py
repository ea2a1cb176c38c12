"""`netprobe diff` on small recorded Runs (tests/data/runs): text, JSON, gates, and errors.

NETPROBE_BLESS=1 rewrites the golden files; review their diff before a commit.
"""

import json
import os
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from msgspec.structs import replace as replace_fields

import netprobe as package
import netprobe.render
from netprobe.load.rounds import Round, round_tables
from netprobe.run.description import RequestsInfo
from netprobe.run.model import Run
from netprobe.run.store import write_run
from netprobe.run.versions import FORMAT_VERSION

RUNS = Path(__file__).parent.parent / "data" / "runs"
GOLDENS = Path(__file__).parent / "data" / "diff"
SCHEMA = json.loads((Path(netprobe.render.__file__).parent / "schema" / "diff.json").read_text())

CASES = {
    "recv-read": ("recv", "read"),
    "read-recv": ("read", "recv"),
    "recv-read.second": ("recv", "read", "--per", "second"),
    "recv-few": ("recv", "recv-few-probes"),
    "recv-recv": ("recv", "recv"),
    "recv-read.top-1": ("recv", "read", "-T", "1"),
}


def arguments(case):
    a, b, *options = CASES[case]
    return ("diff", RUNS / a, RUNS / b, *options)


def golden(name, text):
    path = GOLDENS / name
    if os.environ.get("NETPROBE_BLESS"):
        path.write_text(text)
    assert text == path.read_text()


def rounded(value):
    """Numbers with six digits: further digits may differ between versions of the math library."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def validated(document):
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


@pytest.mark.parametrize("case", CASES)
def test_text(netprobe, case):
    done = netprobe(*arguments(case))
    assert done.status == 0, done.err
    golden(f"{case}.txt", done.out)
    # It fits on a page.
    assert len(done.out.splitlines()) <= 60


@pytest.mark.parametrize("case", ["recv-read", "recv-few"])
def test_json(netprobe, case):
    document = validated(netprobe(*arguments(case), "--json").json())
    significant = [row for row in document["changes"] if row["verdict"] != "within noise"]
    document["changes"] = [*significant, *document["changes"][len(significant) :][:5]]
    document["netprobe_version"] = ""
    golden(f"{case}.json", json.dumps(rounded(document), indent=1) + "\n")


def test_all_rows_in_json(netprobe):
    document = validated(netprobe(*arguments("recv-read"), "--json").json())
    assert len(document["changes"]) > 100
    assert document["changes"][0]["name"] in ("read, reactor-0", "recvfrom, reactor-0")


# ---- Gates ----


@pytest.mark.parametrize(
    ("a", "b", "gate", "status"),
    [
        ("recv", "read", "findings", 1),
        ("read", "recv", "findings", 0),
        ("recv", "recv", "findings", 0),
        ("recv", "read", "regression", 1),
        ("recv", "recv", "regression", 0),
        ("recv", "recv", "regression:5", 0),
    ],
)
def test_gates(netprobe, a, b, gate, status):
    done = netprobe("diff", RUNS / a, RUNS / b, "--fail-on", gate)
    assert done.status == status, done.err
    assert (f"--fail-on {gate}: read" in done.err) is (gate == "findings" and bool(status))
    assert "Within noise" in done.out


def test_singular_for_one_metric(netprobe, tmp_path):
    # The recorded Runs have format version 2, in which the table of intervals is called blocks.
    all_but_intervals = [path.stem for path in (RUNS / "recv").glob("*.parquet") if path.stem != "blocks"]
    bare = without(tmp_path, "recv", *all_but_intervals)
    done = netprobe("diff", bare, bare, "--fail-on", "regression:1")
    assert "Within noise: 2 metrics and functions. Smallest" in done.out
    assert "within noise: 1 metric or function. Smallest" in done.err


def test_percentages(netprobe):
    """A percent sign is allowed; infinite numbers and NaN are refused with a message."""
    assert netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:5%").status == 0
    for percent in ("inf", "nan"):
        refused = netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", f"regression:{percent}").refused()
        assert f"'{percent}' is not a percentage" in refused


def test_gate_lists_metrics_that_it_could_not_evaluate(netprobe, tmp_path):
    """The gate passes and prints the changes that it could not have detected."""
    done = netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:5")
    assert done.status == 0
    (line,) = done.err.splitlines()
    assert re.search(
        r"within noise: \d+ metrics and functions. Smallest detectable changes: >= 7.6 % of recvfrom", line
    )
    assert re.search(r"; >= \d+ % of time on CPU, reactor-0 \(", line)
    # A change of this size is detected in every metric.
    assert netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:100000").err == ""
    lacking = without(tmp_path, "read", "switches")
    done = netprobe("diff", RUNS / "recv", lacking, "--fail-on", "regression:100000")
    assert "--fail-on regression: Skipped switches: B has no table switches (probe switches)." in done.err
    done = netprobe("diff", RUNS / "recv", RUNS / "recv-few-probes", "--fail-on", "findings")
    assert done.status == 0
    assert re.search(r"--fail-on findings: not evaluated, because inconclusive in B: .*locality-broken; ", done.err)


def without(tmp_path, name, *tables):
    """A copy of a Run without these tables."""
    path = copied(tmp_path, name)
    document = json.loads((path / "run.json").read_text())
    document["tables"] = [table for table in document["tables"] if table not in tables]
    (path / "run.json").write_text(json.dumps(document))
    return path


def test_a_fix_is_no_regression(netprobe, checkout):
    """recv() replaces read(), and a faster reactor waits more often: neither is a cost."""
    faulty, fixed = (checkout / "dashboards" / "runs" / name for name in ("faulty", "fixed"))
    done = netprobe("diff", faulty, fixed, "--fail-on", "regression:5")
    assert done.status == 0, done.err
    assert "voluntary switches, reactor-N" in done.out
    assert netprobe("diff", fixed, faulty, "--fail-on", "regression:5").status == 1


def test_the_gate_prints_the_reason(netprobe, checkout):
    assert "read-on-sockets" in netprobe("diff", RUNS / "recv", RUNS / "read", "--fail-on", "findings").err
    fixed, faulty = (checkout / "dashboards" / "runs" / name for name in ("fixed", "faulty"))
    assert (
        "; voluntary switches, timer-N (new, 0.07 switches per request); "
        in netprobe("diff", fixed, faulty, "--fail-on", "regression").err
    )


@pytest.mark.parametrize(
    "gate",
    [
        *("", "finding", "regression:", "regression:x", "regression:-1", "regression:5%%", "findings:5"),
        *("regression:nan", "regression:inf", "regression:1e999", "regression:-inf%"),
    ],
)
def test_unknown_gates_are_refused(netprobe, gate):
    assert "--fail-on" in netprobe("diff", RUNS / "recv", RUNS / "read", "--fail-on", gate).refused()


def test_functions_do_not_explain_a_total_within_noise(netprobe, checkout):
    faulty, fixed = (checkout / "dashboards" / "runs" / name for name in ("faulty", "fixed"))
    unchanged = "Functions that changed per request; the total time on CPU is within noise"
    assert unchanged in netprobe("diff", faulty, fixed).out
    # Per second the load grew.
    out = netprobe("diff", RUNS / "recv", RUNS / "read", "--per", "second").out
    assert "Functions that explain the change in time on CPU per second" in out


# ---- Benchmarks ----


def bench_run(path, rate, us):
    """A Run of `netprobe bench`: rounds, without the tables of a recording."""
    counts = [(rate + 7 * number, us + number) for number in range(10)]
    rounds = [Round(1.7e9, 1.0, served, 0, {latency: served}) for served, latency in counts]
    run = package.load(RUNS / "recv")
    window = replace_fields(run.info.recording, seconds=10.0, intervals=0)
    told = RequestsInfo(count=sum(one.requests for one in rounds), source="the load generator")
    info = replace_fields(run.info, recording=window, probes=[], requests=told)
    write_run(Run(info, {table.name: table for table in round_tables(rounds)}), path)


def test_benchmarks(netprobe, tmp_path):
    bench_run(tmp_path / "a", 50_000, 200)
    bench_run(tmp_path / "b", 17_750, 578)
    done = netprobe("diff", tmp_path / "a", tmp_path / "b", "--fail-on", "regression:5")
    assert done.status == 1
    assert "requests served" in done.err
    changed = done.out.split("Significant changes\n")[1]
    assert re.search(r"latency p99 +204 µs +582 µs +request +\+18\d.\d % +\+\d", changed)
    assert re.search(r"requests served +50032 +17782 +second +-64.5 % +-\d", changed)
    validated(netprobe("diff", tmp_path / "a", tmp_path / "b", "--json").json())
    same = netprobe("diff", tmp_path / "a", tmp_path / "a", "--fail-on", "regression:5")
    assert same.status == 0, same.err
    assert re.search(r">= \d+ % less requests served \(50032 per second\)", same.out)
    both = netprobe("diff", tmp_path / "a", RUNS / "recv")
    assert both.status == 0, both.err
    assert "Skipped load: B has no table load_rounds" in both.out


# ---- Inputs ----


def copied(tmp_path, name, **info):
    path = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
    shutil.copytree(RUNS / name, path)
    document = json.loads((path / "run.json").read_text()) | info
    (path / "run.json").write_text(json.dumps(document))
    return path


def test_another_format_version(netprobe, tmp_path):
    newer = copied(tmp_path, "read", format_version=FORMAT_VERSION + 1)
    assert f"format version {FORMAT_VERSION + 1}" in netprobe("diff", RUNS / "recv", newer).refused()
    # The oldest one.
    older = copied(tmp_path, "read", format_version=1)
    assert netprobe("diff", RUNS / "recv", older).status == 0


def test_a_missing_table_is_not_zero(netprobe, tmp_path):
    lacking = without(tmp_path, "read", "syscalls")
    done = netprobe("diff", RUNS / "recv", lacking)
    assert done.status == 0, done.err
    assert "Skipped system calls: B has no table syscalls (probe syscalls)" in done.out
    assert "recvfrom, reactor-0" not in done.out


def test_a_corrupt_table(netprobe, tmp_path):
    broken = copied(tmp_path, "read")
    (broken / "switches.parquet").write_bytes(b"PAR1")
    assert "switches.parquet cannot be read" in netprobe("diff", RUNS / "recv", broken).refused()


def test_a_table_that_was_not_copied(netprobe, tmp_path):
    truncated = copied(tmp_path, "read")
    (truncated / "switches.parquet").unlink()
    said = netprobe("diff", RUNS / "recv", truncated).refused()
    assert "is not complete: run.json lists the table switches, and switches.parquet is not there" in said
    assert "Errno" not in said


def test_paths_that_are_not_runs(netprobe, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "There is no Run" in netprobe("diff", RUNS / "recv", tmp_path / "nothing").refused()
    assert "netprobe flame --diff" in netprobe("diff", RUNS / "recv", tmp_path / "file").refused()
    assert "Missing argument" in netprobe("diff", RUNS / "recv").refused()


def test_per_request_needs_the_number_of_requests(netprobe):
    message = netprobe("diff", RUNS / "recv", RUNS / "recv-few-probes", "--per", "request").refused()
    assert "The number of requests in B is not known" in message


def test_control_characters_in_names_are_escaped(netprobe, tmp_path):
    target = json.loads((RUNS / "read" / "run.json").read_text())["target"]
    hostile = copied(tmp_path, "read", target=target | {"description": "\x1b[31mred\nline"})
    done = netprobe("diff", hostile, RUNS / "recv")
    assert "\x1b" not in done.out
    assert "\\x1b[31mred\\x0aline" in done.out


# ---- Series ----


@pytest.fixture
def two_series(tmp_path):
    for name in ("recv", "read"):
        for number in (1, 2, 3):
            shutil.copytree(RUNS / name, tmp_path / name / str(number))
    return tmp_path / "recv", tmp_path / "read"


def test_series(netprobe, two_series):
    done = netprobe("diff", "--series", *two_series)
    assert done.status == 0, done.err
    assert "3 Runs" in done.out
    assert "recvfrom, reactor-0" in done.out


def test_series_and_runs_are_distinguished(netprobe, two_series, tmp_path):
    assert "Add --series" in netprobe("diff", *two_series).refused()
    assert "Remove --series" in netprobe("diff", "--series", RUNS / "recv", RUNS / "read").refused()
    (tmp_path / "empty").mkdir()
    assert "There is no Run in" in netprobe("diff", "--series", two_series[0], tmp_path / "empty").refused()
    shutil.rmtree(two_series[0] / "2")
    shutil.rmtree(two_series[0] / "3")
    assert "has 1 Run" in netprobe("diff", "--series", *two_series).refused()


def test_the_runs_are_small():
    assert sum(path.stat().st_size for path in RUNS.rglob("*") if path.is_file()) < 300_000


def test_the_runs_can_be_loaded():
    assert {path.name for path in RUNS.iterdir()} == {"recv", "read", "recv-few-probes", "polling"}
    assert all(package.load(path).seconds > 3 for path in RUNS.iterdir())
