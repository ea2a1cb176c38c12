"""`netprobe import` as users run it: its output, its errors, and the Runs that it writes.

NETPROBE_BLESS=1 rewrites the golden files; read their differences before you commit them.
"""

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import jsonschema
import pytest
import referencing

import netprobe as package
from flamegraph.errors import ProfileError
from netprobe import render
from netprobe.commands.shared.group import cli
from netprobe.errors import NetprobeError
from netprobe.importers.imported_run import as_run
from netprobe.importers.reading import read_reports
from netprobe.run.description import RequestsInfo
from netprobe.run.store import write_run

GOLDENS = Path(__file__).parent / "data" / "import"
SCHEMAS = Path(render.__file__).parent / "schema"
COMMAND = Path(sys.executable).with_name("netprobe")

# Two servers, each as syscount, sar and a listing saw it; the numbers are made up.
BEFORE = {
    "syscount": (
        "SYSCALL                   COUNT\nepoll_pwait              500009\nread                     480013\n"
        "sendto                   470021\nepoll_ctl                    31\n"
    ),
    "sar": (
        "01:03:03 AM    proc/s   cswch/s\n01:03:04 AM      0.00  17132.00\n01:03:05 AM      0.00  17060.00\n"
        "01:03:06 AM      0.00  17048.00\n01:03:07 AM      0.00  17026.00\n"
    ),
    "listing": "web-0, cpu=0, socket 0\nweb-1, cpu=2, socket 1\nweb-2, cpu=1, socket 2\nweb-3, cpu=3, socket 3\n",
    "load": (
        "Running 4s test @ http://10.0.0.1:80/\n  1 threads and 8 connections\n"
        "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   205.00us   36.00us    1.30ms   69.00%\n"
        "    Req/Sec    74.80k     1.81k    77.85k    73.85%\n  460007 requests in 4.00s, 0.86GB read\n"
        "Requests/sec: 115001.75\nTransfer/sec:    220.16MB\n"
    ),
}
AFTER = {
    "syscount": (
        "SYSCALL                   COUNT\nrecvfrom                 640007\nsendto                   630011\n"
        "epoll_wait                50021\nread                         17\n"
    ),
    "sar": (
        "01:13:56 AM    proc/s   cswch/s\n01:13:57 AM      0.00    277.00\n01:13:58 AM      0.00    229.00\n"
        "01:13:59 AM      0.00    290.00\n01:14:00 AM      0.00    340.00\n"
    ),
    "listing": "web-0, cpu=0, socket 0\nweb-1, cpu=1, socket 1\nweb-2, cpu=2, socket 2\nweb-3, cpu=3, socket 3\n",
}


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """The files `before.KIND` and `after.KIND`, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for side, parts in (("before", BEFORE), ("after", AFTER)):
        for kind, text in parts.items():
            (tmp_path / f"{side}.{kind}").write_text(text)
    return tmp_path


@pytest.fixture
def inside(capfd, outcome):
    """The command without a new process for each call, which would take most of the time."""

    def run(*arguments):
        status = 0
        try:
            with cli.make_context("netprobe", [str(one) for one in arguments]) as context:
                cli.invoke(context)
        except click.exceptions.Exit as done:
            status = done.exit_code
        except (NetprobeError, ProfileError) as error:
            status = 2
            click.echo(f"{error.message}\n{error.hint}", err=True)
        return outcome(status, *capfd.readouterr())

    return run


def validated(document, schema="import"):
    contents = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    registry = referencing.Registry().with_resources(
        (one["$id"], referencing.Resource.from_contents(one)) for one in contents
    )
    schema = json.loads((SCHEMAS / f"{schema}.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)
    return document


def golden(name, text):
    path = GOLDENS / name
    if os.environ.get("NETPROBE_BLESS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def without_codes(text):
    """Without the list of inconclusive rules, which grows with every new rule."""
    lines = text.splitlines(keepends=True)
    return "".join("… findings.\n" if " rules passed, " in line else line for line in lines)


CASES = {
    "calls": ("before.syscount",),
    "calls-10-s": ("before.syscount", "-d", "10"),
    "all": ("before.syscount", "before.sar", "before.listing", "before.load", "-d", "4"),
    "apart": ("before.syscount", "before.sar", "after.syscount"),
}


@pytest.mark.parametrize("case", CASES)
def test_text(inside, texts, case):
    done = inside("import", *CASES[case])
    assert done.status == 0, done.err
    golden(f"{case}.txt", without_codes(done.out))


@pytest.mark.parametrize("case", CASES)
def test_json(inside, texts, case):
    document = validated(inside("import", *CASES[case], "--json").json())
    assert len(document["runs"]) == (3 if case == "apart" else 1)
    assert all(run["path"] is None for run in document["runs"])
    (first, *_) = document["runs"]
    assert {one["code"] for one in first["results"]["findings"]} >= {"read-on-sockets"}
    assert all(one["reason"] for one in first["results"]["inconclusive"])


def test_schema_refuses_wrong_documents(inside, texts):
    document = inside("import", "before.sar", "--json").json()
    for change in ({"surprise": 1}, {"command": "other"}, {"runs": []}, {"schema_version": 1}):
        with pytest.raises(jsonschema.ValidationError):
            validated(document | change)


def test_run_has_the_tables_and_the_requests(inside, texts):
    done = inside("import", *CASES["all"], "-o", "run")
    assert done.status == 0, done.err
    assert "Run written to run." in done.err
    run = package.load("run")
    assert run.imported
    assert run.seconds == 4
    assert run.info.requests == RequestsInfo(count=460_007, source="wrk")
    assert {report.source for report in run.info.imported.reports} == set(CASES["all"][:4])
    assert run.table("syscalls")["calls"].sum() == 500_009 + 480_013 + 470_021 + 31
    assert run.table("intervals")["machine_switches"].tolist() == [17132 + 17060 + 17048 + 17026]
    # The reports do not contain these.
    assert run.info.host.cpus_online is None
    assert run.info.recording.started is None
    # The second import replaces the Run.
    assert inside("import", "before.sar", "-o", "run").status == 0
    assert "syscalls" not in package.load("run").tables


def test_each_report_becomes_a_separate_run(inside, texts):
    done = inside("import", *CASES["apart"], "-o", "runs")
    assert done.status == 0, done.err
    assert "Each report becomes a separate Run: there is more than one report of system calls" in done.err
    assert sorted(path.name for path in Path("runs").iterdir()) == ["1", "2", "3"]
    assert [package.load(f"runs/{number}").seconds for number in (2,)] == [4]
    again = inside("import", *CASES["apart"], "-o", "runs")
    assert again.status == 2
    assert "runs exists already" in again.err
    # The result is printed nevertheless.
    assert "read-on-sockets" in again.out


def test_selected_reports(inside, texts):
    done = inside("import", *CASES["apart"], "--report", "2", "--report", "3", "-d", "4", "--json")
    (run,) = validated(done.json())["runs"]
    assert [one["number"] for one in run["reports"]] == [2, 3]
    assert "no report 9: 3 were found" in inside("import", *CASES["apart"], "--report", "9").refused()


def test_old_option_selects_reports_and_is_not_in_the_help(inside, texts):
    (run,) = inside("import", *CASES["apart"], "--block", "2", "--json").json()["runs"]
    assert [one["number"] for one in run["reports"]] == [2]
    assert "--block" not in inside("import", "--help").out


def test_standard_input_and_gzip(netprobe, texts):
    Path("packed").write_bytes(gzip.compress(BEFORE["sar"].encode()))
    for name, content in (("packed", b""), ("-", BEFORE["sar"].encode()), ("-", Path("packed").read_bytes())):
        done = subprocess.run(
            [COMMAND, "import", name, "--json"], input=content, capture_output=True, check=True, timeout=60
        )
        (run,) = validated(json.loads(done.stdout))["runs"]
        assert run["seconds"] == 4
    assert "can be read only once" in netprobe("import", "-", "-").refused()


def test_calls_per_request_and_switches_are_printed(inside, checkout):
    """Of a whole article: the numbers that its author points at, each at its report."""
    article = checkout.parent / "shared" / "source-article.txt"
    if not article.exists():
        pytest.skip(f"{article} is not there")
    printed = inside("import", article).out
    for text in (
        "9. Length unknown; about 9353652 requests (receive or send calls, whichever are fewer).\n"
        "   System calls per request: recvfrom 1.04, sendto 1.00, epoll_wait 0.08.\n",
        "   System calls per request: epoll_pwait 1.09, read 1.05, ",
        "epoll-zero-timeout: epoll_pwait is called 1.09 times per request",
        "   Whole machine: 284.0 context switches per second.\n",
        "   Whole machine: 17066 context switches per second.\n   timer-thread-switching: The machine switches",
    ):
        assert text in printed


def test_requests(inside, texts):
    (run,) = inside("import", "before.syscount", "--requests", "250000", "--json").json()["runs"]
    assert (run["requests"], run["requests_source"], run["requests_estimated"]) == (250_000, "--requests", False)
    (run,) = inside("import", "before.syscount", "--json").json()["runs"]
    assert (run["requests"], run["requests_estimated"]) == (470_021, True)
    assert "for one recording" in inside("import", *CASES["apart"], "--requests", "9").refused()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no table at all\n", "text contains no report that can be imported"),
        (b"", "text is empty"),
        (bytes(range(256)), "text is neither text nor a profile"),
        (b"\x1f\x8b\x08\x00corrupt", "cannot be read"),
    ],
)
def test_refused(netprobe, texts, content, words):
    Path("text").write_bytes(content)
    message = netprobe("import", "text").refused()
    assert words in message
    # One file without a report is an error: a Run without it would look complete.
    assert words in netprobe("import", "before.sar", "text", "-o", "run").refused()
    assert not Path("run").exists()


def test_expected_formats_are_named(inside, texts):
    Path("text").write_text("no table at all\n")
    message = inside("import", "text").refused()
    for name in ("syscount (bcc)", "syscount (bpftrace)", "strace -c", "perf trace -s", "sar -w", "pidstat -w", "wrk"):
        assert name in message
    assert "cannot be read: No such file" in inside("import", "none").refused()


def test_result_is_printed_although_the_run_cannot_be_written(netprobe, texts):
    done = netprobe("import", "before.sar", "-o", "none/run")
    assert done.status == 2
    assert "does not exist" in done.err
    assert "sar -w" in done.out


def test_skipped_lines_are_reported(inside, texts):
    Path("text").write_text(BEFORE["syscount"].replace("480013", "48oo13"))
    done = inside("import", "text")
    assert done.status == 0
    assert "Not complete: 1 line of syscount (bcc)" in done.out
    assert "line 3: read                     48oo13" in done.out


def test_hostile_names_are_escaped(netprobe, texts):
    name = "a\x1b]0;x\x07\u202eb\n"
    Path(name).write_text("\x1b[31m\x1b]0;own\x07ed, cpu=0, socket 0\n\u202e<b>, cpu=2, socket 1\nx, cpu=1, socket 2\n")
    done = netprobe("import", name, "-o", "run")
    assert done.status == 0, done.err
    for text in (done.out, done.err, netprobe("diff", "run", "run").out):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\\x1b]0;own\\x07ed" not in done.err
    validated(netprobe("import", name, "--json").json())
    assert package.load("run").table("imported_listeners")["name"][1] == "\u202e<b>"


def test_file_name_that_is_not_utf8(netprobe, texts):
    name = os.fsencode(texts) + b"/sar\xff"
    Path(os.fsdecode(name)).write_text(BEFORE["sar"])
    done = netprobe("import", name, "-o", "run")
    assert done.status == 0, done.err
    assert "sar\\xff" in package.load("run").info.imported.reports[0].source


# ---- Comparisons and flame graphs of imported Runs ----


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The Runs `before-KIND` and `after-KIND`, and their texts."""
    folder = tmp_path_factory.mktemp("runs")
    for side, parts in (("before", BEFORE), ("after", AFTER)):
        for kind, text in parts.items():
            (folder / f"{side}.{kind}").write_text(text)
            reports = [replace(report, source=f"{side}.{kind}") for report in read_reports(folder / f"{side}.{kind}")]
            write_run(as_run(reports), folder / f"{side}-{kind}")
    return folder


@pytest.fixture
def runs(written, monkeypatch):
    """In the current directory."""
    monkeypatch.chdir(written)


def test_diff_of_single_values(inside, runs):
    done = inside("diff", "before-syscount", "after-syscount")
    assert done.status == 0, done.err
    golden("diff-calls.txt", done.out)
    document = validated(inside("diff", "before-syscount", "after-syscount", "--json").json(), "diff")
    assert document["per"] == "request"
    assert [side["seconds"] for side in document["sides"]] == [None, None]
    assert {row["verdict"] for row in document["changes"]} == {"inconclusive"}


def test_diff_of_reports_with_intervals(inside, runs):
    document = validated(inside("diff", "before-sar", "after-sar", "--json").json(), "diff")
    (row,) = [row for row in document["changes"] if row["name"] == "switches, whole machine"]
    assert row["verdict"] == "less"
    assert row["rate_a"] > 50 * row["rate_b"]


def test_diff_of_findings_alone(inside, runs):
    done = inside("diff", "before-listing", "after-listing")
    assert done.status == 0, done.err
    assert "Went away     reuseport-order" in done.out
    assert "Skipped all rates" in done.out
    validated(inside("diff", "before-listing", "after-listing", "--json").json(), "diff")
    assert inside("diff", "after-listing", "before-listing", "--fail-on", "findings").status == 1
    assert (
        "The length of A and B is not known"
        in inside("diff", "before-listing", "after-listing", "--per", "second").refused()
    )


def test_diff_with_a_recorded_run(inside, runs):
    recorded = Path(__file__).parent.parent / "data" / "runs" / "read"
    done = inside("diff", recorded, "before-syscount")
    assert done.status == 0, done.err
    assert "because the data were imported" in done.out
    document = validated(inside("diff", recorded, "before-syscount", "--json").json(), "diff")
    # syscount names no threads: of the recording, all threads together.
    rates = {row["name"]: (row["rate_a"], row["rate_b"]) for row in document["changes"]}
    calls = package.load(recorded).table("syscalls").groupby("syscall")["calls"].sum()
    requests = document["sides"][0]["requests"]
    assert rates["read"] == pytest.approx((calls["read"] / requests, 480_013 / 470_021))
    assert rates["sendto"] == pytest.approx((calls["sendto"] / requests, 1))
    assert "switches, whole machine" not in rates
    assert "Skipped machine: B has no column machine_switches in table intervals" in done.out


STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.001000           1      1009           read
 50.00    0.001000           1       997        13 openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.002000           1      2006        13 total
"""
PERF_TRACE = """
 Summary of events:

 web (4711), 4012 events, 100.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                1009      0     1.000     0.001     0.001     0.002      1.00%
   openat               997     13     1.000     0.001     0.001     0.002      1.00%
"""


def test_diff_of_calls_with_and_without_threads(inside, texts):
    """The same counts, by call alone and by thread: each call stands there once, and is the same."""
    for name, text in (("strace", STRACE), ("trace", PERF_TRACE)):
        Path(f"{name}.txt").write_text(text)
        assert inside("import", f"{name}.txt", "-d", "4", "-o", name).status == 0
    document = validated(inside("diff", "strace", "trace", "--json").json(), "diff")
    rates = {row["name"]: (row["rate_a"], row["rate_b"]) for row in document["changes"]}
    assert rates == {
        "read": (1009 / 4, 1009 / 4),
        "openat": (997 / 4, 997 / 4),
        "openat failed with any error": (13 / 4, 13 / 4),
    }


def test_diff_of_the_article_with_a_recorded_run(inside, texts, checkout):
    article = checkout.parent / "shared" / "source-article.txt"
    if not article.exists():
        pytest.skip(f"{article} is not there")
    assert inside("import", article, "--report", "10", "-o", "imported").status == 0
    faulty = checkout / "dashboards" / "runs" / "faulty"
    document = validated(inside("diff", "imported", faulty, "--json").json(), "diff")
    rates = {row["name"]: row["rate_b"] for row in document["changes"]}
    # One read a request of the reactors, and those of the timers.
    assert 1.0 < rates["read"] < 1.1
    assert rates["sendto"] == pytest.approx(1, abs=0.01)


def test_diff_of_a_series_of_rounds(inside, texts):
    for side, rates in (("a", (100_000, 101_000, 100_500, 99_800)), ("b", (140_000, 141_000, 140_700, 139_900))):
        rounds = [BEFORE["load"].replace("115001.75", f"{rate}.50") for rate in rates]
        Path(f"{side}.txt").write_text("\n".join(rounds))
        assert inside("import", f"{side}.txt", "-o", side).status == 0
    document = validated(inside("diff", "--series", "a", "b", "--json").json(), "diff")
    (row,) = [row for row in document["changes"] if row["name"] == "requests served"]
    assert (row["rate_a"], row["rate_b"]) == pytest.approx((100_325.5, 140_400.5))
    assert row["verdict"] == "more"


def rounds(rates, latency):
    """wrk's reports."""
    text = BEFORE["load"].replace("205.00us", latency)
    return "\n".join(text.replace("115001.75", f"{rate}.50") for rate in rates)


def test_a_gate_on_load(inside, texts):
    """Fewer requests served and longer latencies are regressions; the other way round they are none."""
    for side, factor, latency in (("a", 1, "205.00us"), ("b", 0.355, "592.45us")):
        rates = [round(rate * factor) for rate in (100_000, 101_000, 100_500, 99_800)]
        Path(f"{side}.txt").write_text(rounds(rates, latency))
        assert inside("import", f"{side}.txt", "-o", side).status == 0
    worse = inside("diff", "--series", "a", "b", "--fail-on", "regression:10")
    assert worse.status == 1
    assert "requests served" in worse.err
    assert "latency avg" in worse.err
    assert inside("diff", "--series", "a", "b", "--fail-on", "regression:200").status == 0
    assert inside("diff", "--series", "b", "a", "--fail-on", "regression").status == 0


def test_a_gate_on_the_machines_switches(inside, runs):
    worse = inside("diff", "after-sar", "before-sar", "--fail-on", "regression:5")
    assert worse.status == 1
    assert "switches, whole machine" in worse.err
    assert inside("diff", "before-sar", "after-sar", "--fail-on", "regression:5").status == 0


def test_diff_of_folded_stacks(inside, texts):
    """Functions stand side by side, with the unit of what was counted."""
    Path("a").write_text("web;main;work 97\nweb;main;rest 31\n")
    Path("b").write_text("web;main;work 197\nweb;main;rest 3\nweb;main;other 50\n")
    for name in ("a", "b"):
        assert inside("import", name, "-d", "4", "-o", f"stacks-{name}").status == 0
    lines = [line.split() for line in inside("diff", "stacks-a", "stacks-b").out.splitlines()]
    assert ["time", "on", "CPU", "(samples)", "32.00", "62.50", "second", "2"] in lines
    assert ["work", "(samples)", "24.25", "49.25", "second", "2"] in lines
    assert ["other", "(samples)", "0.00", "12.50", "second", "-"] in lines


def test_flame(inside, texts):
    Path("f").write_text("web;main;work 97\nweb;main;rest 3\n")
    assert inside("import", "f", "-o", "stacks").status == 0
    assert inside("flame", "stacks", "-o", "f.html", "-o", "g.folded").status == 0
    assert sorted(Path("g.folded").read_text().splitlines()) == ["web;main;rest 3", "web;main;work 97"]
    assert inside("import", "before.sar", "-o", "none").status == 0
    assert "This Run has no stacks" in inside("flame", "none").refused()


def test_help_names_the_formats(netprobe):
    shown = netprobe("import", "--help").out
    for word in ("syscount", "strace -c", "perf trace -s", "sar -w", "pidstat -w", "wrk", "perf.data"):
        assert word in " ".join(shown.split())
    assert "Missing argument" in netprobe("import").err
