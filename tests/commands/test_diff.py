"""`netprobe diff` on small recorded Runs (tests/data/runs): as text and as JSON, its gates, and what it refuses.

NETPROBE_BLESS=1 writes the goldens anew; look at what changed in them before they are kept.
"""

import json
import os
import re
import shutil
from pathlib import Path

import jsonschema
import pytest

import netprobe as package
import netprobe.render
from netprobe.lab.load import Round
from netprobe.run.bench_suite import round_tables
from netprobe.run.model import FORMAT_VERSION, Run
from netprobe.run.store import write_run

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
    """Numbers to six digits: the rest may differ from one machine's library to the next."""
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
    # A page.
    assert len(done.out.splitlines()) <= 60


@pytest.mark.parametrize("case", ["recv-read", "recv-few"])
def test_json(netprobe, case):
    document = validated(netprobe(*arguments(case), "--json").json())
    seen = [row for row in document["changes"] if row["verdict"] != "no change seen"]
    document["changes"] = [*seen, *document["changes"][len(seen) :][:5]]
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
    assert "No change seen" in done.out


def test_one_number_is_one(netprobe, tmp_path):
    all_but_intervals = [path.stem for path in (RUNS / "recv").glob("*.parquet") if path.stem != "intervals"]
    bare = without(tmp_path, "recv", *all_but_intervals)
    done = netprobe("diff", bare, bare, "--fail-on", "regression:1")
    assert "No change seen in 2 numbers. Would" in done.out
    assert "no change seen in 1 number, of which" in done.err


def test_percentages(netprobe):
    """Also with the sign; what is no finite one is refused in words."""
    assert netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:5%").status == 0
    for percent in ("inf", "nan"):
        refused = netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", f"regression:{percent}").refused()
        assert f"'{percent}' is no percentage" in refused


def test_what_a_gate_could_not_judge(netprobe, tmp_path):
    """It passes, and says of what it could not have failed."""
    done = netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:5")
    assert done.status == 0
    (said,) = done.err.splitlines()
    assert re.search(r"no change seen in \d+ numbers, of which it would have seen: >= 7.6 % of recvfrom", said)
    assert re.search(r"; >= \d+ % of time on CPU, reactor-0 \(", said)
    # All of these numbers would have been seen.
    assert netprobe("diff", RUNS / "recv", RUNS / "recv", "--fail-on", "regression:100000").err == ""
    lacking = without(tmp_path, "read", "switches")
    done = netprobe("diff", RUNS / "recv", lacking, "--fail-on", "regression:100000")
    assert "--fail-on regression: INCONCLUSIVE about switches: B has no table switches (probe switches)." in done.err
    done = netprobe("diff", RUNS / "recv", RUNS / "recv-few-probes", "--fail-on", "findings")
    assert done.status == 0
    assert re.search(r"--fail-on findings: not evaluated, since B inconclusive: .*locality-broken; ", done.err)


def without(tmp_path, name, *tables):
    """A Run that lacks tables."""
    path = copied(tmp_path, name)
    document = json.loads((path / "run.json").read_text())
    document["tables"] = [table for table in document["tables"] if table not in tables]
    (path / "run.json").write_text(json.dumps(document))
    return path


def test_what_fixes_is_no_regression(netprobe, checkout):
    """read() becomes recv(), and a reactor that is faster waits more often: neither costs anything."""
    faulty, fixed = (checkout / "dashboards" / "runs" / name for name in ("faulty", "fixed"))
    done = netprobe("diff", faulty, fixed, "--fail-on", "regression:5")
    assert done.status == 0, done.err
    assert "voluntary switches, reactor-N" in done.out
    assert netprobe("diff", fixed, faulty, "--fail-on", "regression:5").status == 1


def test_the_gate_says_why(netprobe, checkout):
    assert "read-on-sockets" in netprobe("diff", RUNS / "recv", RUNS / "read", "--fail-on", "findings").err
    fixed, faulty = (checkout / "dashboards" / "runs" / name for name in ("fixed", "faulty"))
    assert (
        "; voluntary switches, timer-N (new, 0.07 switches a request); "
        in netprobe("diff", fixed, faulty, "--fail-on", "regression").err
    )


@pytest.mark.parametrize(
    "gate",
    [
        *("", "finding", "regression:", "regression:x", "regression:-1", "regression:5%%", "findings:5"),
        *("regression:nan", "regression:inf", "regression:1e999", "regression:-inf%"),
    ],
)
def test_no_such_gate(netprobe, gate):
    assert "--fail-on" in netprobe("diff", RUNS / "recv", RUNS / "read", "--fail-on", gate).refused()


def test_functions_are_not_said_to_explain_what_did_not_change(netprobe, checkout):
    faulty, fixed = (checkout / "dashboards" / "runs" / name for name in ("faulty", "fixed"))
    unchanged = "Functions that changed by request; of all time on CPU no change was seen"
    assert unchanged in netprobe("diff", faulty, fixed).out
    # By second there was more to do.
    out = netprobe("diff", RUNS / "recv", RUNS / "read", "--per", "second").out
    assert "Functions that explain the change in time on CPU by second" in out


# ---- Benchmarks ----


def bench_run(path, rate, us):
    """What `netprobe bench` leaves: rounds, and no table of a recording."""
    counts = [(rate + 7 * number, us + number) for number in range(10)]
    rounds = [Round(1.7e9, 1.0, served, 0, {latency: served}) for served, latency in counts]
    run = package.load(RUNS / "recv")
    window = run.info["recording"] | {"seconds": 10.0, "intervals": 0}
    told = {"count": sum(one.requests for one in rounds), "source": "the load generator"}
    info = run.info | {"recording": window, "probes": [], "requests": told}
    write_run(Run(info, {table.name: table for table in round_tables(rounds)}), path)


def test_benchmarks(netprobe, tmp_path):
    bench_run(tmp_path / "a", 50_000, 200)
    bench_run(tmp_path / "b", 17_750, 578)
    done = netprobe("diff", tmp_path / "a", tmp_path / "b", "--fail-on", "regression:5")
    assert done.status == 1
    assert "requests served" in done.err
    changed = done.out.split("What changed\n")[1]
    assert re.search(r"latency p99 +204 µs +582 µs +request +\+18\d.\d % +\+\d", changed)
    assert re.search(r"requests served +50032 +17782 +second +-64.5 % +-\d", changed)
    validated(netprobe("diff", tmp_path / "a", tmp_path / "b", "--json").json())
    same = netprobe("diff", tmp_path / "a", tmp_path / "a", "--fail-on", "regression:5")
    assert same.status == 0, same.err
    assert re.search(r">= \d+ % less requests served \(50032 a second\)", same.out)
    both = netprobe("diff", tmp_path / "a", RUNS / "recv")
    assert both.status == 0, both.err
    assert "INCONCLUSIVE about load: B has no table load_rounds" in both.out


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


def test_a_missing_table_is_no_zero(netprobe, tmp_path):
    lacking = without(tmp_path, "read", "syscalls")
    done = netprobe("diff", RUNS / "recv", lacking)
    assert done.status == 0, done.err
    assert "INCONCLUSIVE about system calls: B has no table syscalls (probe syscalls)" in done.out
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


def test_what_is_no_run(netprobe, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "There is no Run" in netprobe("diff", RUNS / "recv", tmp_path / "nothing").refused()
    assert "netprobe flame --diff" in netprobe("diff", RUNS / "recv", tmp_path / "file").refused()
    assert "Missing argument" in netprobe("diff", RUNS / "recv").refused()


def test_requests_that_nobody_knows(netprobe):
    said = netprobe("diff", RUNS / "recv", RUNS / "recv-few-probes", "--per", "request").refused()
    assert "How many requests B served is not known" in said


def test_names_that_would_act_on_a_terminal(netprobe, tmp_path):
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


def test_series_and_runs_are_not_mixed_up(netprobe, two_series, tmp_path):
    assert "Add --series" in netprobe("diff", *two_series).refused()
    assert "Leave out --series" in netprobe("diff", "--series", RUNS / "recv", RUNS / "read").refused()
    (tmp_path / "empty").mkdir()
    assert "There is no Run in" in netprobe("diff", "--series", two_series[0], tmp_path / "empty").refused()
    shutil.rmtree(two_series[0] / "2")
    shutil.rmtree(two_series[0] / "3")
    assert "has 1 Run" in netprobe("diff", "--series", *two_series).refused()


def test_the_runs_are_small():
    assert sum(path.stat().st_size for path in RUNS.rglob("*") if path.is_file()) < 300_000


def test_they_can_be_loaded():
    assert {path.name for path in RUNS.iterdir()} == {"recv", "read", "recv-few-probes", "polling"}
    assert all(package.load(path).seconds > 3 for path in RUNS.iterdir())
