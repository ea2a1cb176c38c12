"""Comparisons of generated Runs: no change is reported without a change, and an actual change is listed first."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

import netprobe
from netprobe.analysis.compare.comparison import compare_sides, sides_of
from netprobe.analysis.request_count import request_count
from netprobe.errors import NetprobeError
from netprobe.render.diff import heading
from netprobe.run.description import RequestsInfo

_SPEC = importlib.util.spec_from_file_location("generated", Path(__file__).with_name("generated.py"))
generated = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generated)
Server, run_of, STACKS = generated.Server, generated.run_of, generated.STACKS


@pytest.fixture(scope="module", autouse=True)
def _dataclasses_find_their_module():
    import sys

    sys.modules["generated"] = generated


def compared(a, b, per="auto"):
    return compare_sides(*sides_of(a, b), per)


def row(found, name, kind="metric"):
    (one,) = [one for one in found.rows if one.name == name and one.kind == kind]
    return one


@pytest.mark.parametrize(
    ("other", "seconds"),
    [(Server(), 10), (Server(), 20), (Server(load=24_000), 10)],
    ids=["the same", "twice as long", "20 % more load"],
)
def test_equal_servers_have_no_changes(other, seconds):
    """100 comparisons of equal servers: at most one reports a change."""
    changed = [
        seed for seed in range(100)
        if compared(run_of(Server(), seed), run_of(other, 1000 + seed, seconds, 4 * seconds)).changed
    ]  # fmt: skip
    assert len(changed) <= 1


def with_calls(**calls):
    return replace(Server(), calls=Server().calls | calls)


@pytest.mark.parametrize(
    ("changed", "name", "verdict"),
    [
        (replace(Server(), calls={"read": 1.0, "sendto": 1.0, "epoll_wait": 0.5}), "re", ("new", "gone")),
        (with_calls(fcntl=0.5), "fcntl, reactor-0", ("new",)),
        (with_calls(sendto=1.2), "sendto, reactor-0", ("more",)),
        (replace(Server(), ticks=2000), "read, timer-0", ("more",)),
        (replace(Server(), timeout="zero"), "epoll_wait with timeout", ("new", "gone")),
    ],
    ids=["another call", "a new call", "more of a call", "a faster timer", "another timeout"],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_change_is_listed_first(changed, name, verdict, seed):
    found = compared(run_of(Server(), seed), run_of(changed, 100 + seed)).changed
    assert found[0].name.startswith(name), found[:3]
    assert found[0].verdict in verdict


def slower(stack, factor):
    return replace(Server(), stacks=STACKS | {stack: STACKS[stack] * factor})


@pytest.mark.parametrize("seed", range(5))
def test_the_function_that_changed_explains_it(seed):
    parse = ("main", "loop", "handle", "parse")
    found = compared(run_of(Server(), seed), run_of(slower(parse, 4), 100 + seed))
    assert found.changed[0].name == "parse"
    first = found.explained[0]
    assert (first.function, first.path[-3:]) == ("parse", ("main", "loop", "handle"))
    assert first.share_of_delta > 0.9
    assert first.relative_growth > 1.5
    # The callers grew as well, but their callee explains it.
    assert [one.function for one in found.explained] == ["parse"]


def test_a_renamed_function_is_proposed():
    stacks = {
        tuple("parse_v2" if name == "parse" else name for name in stack): share for stack, share in STACKS.items()
    }
    found = compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2))
    pairs = [(pair.how, pair.before, pair.after) for pair in found.possibly_renamed]
    assert pairs == [("renamed", "parse", "parse_v2")]


def test_a_compilers_suffix_is_no_change():
    stacks = {tuple("parse.isra.0" if name == "parse" else name for name in stack): s for stack, s in STACKS.items()}
    assert not compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2)).changed


def test_an_inlined_function_is_proposed():
    stacks = {tuple(name for name in stack if name != "parse"): share for stack, share in STACKS.items()}
    found = compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2))
    pairs = [(pair.how, pair.before, pair.after) for pair in found.possibly_renamed]
    assert pairs == [("inlined", "parse", "handle")]


def test_a_load_change_is_significant_per_second_only():
    a, b = run_of(Server(), 1), run_of(Server(load=60_000), 2)
    assert not compared(a, b).changed
    assert {one.name for one in compared(a, b, "second").changed} >= {"recvfrom, reactor-0"}


def test_reported_requests_normalize_counts():
    a = run_of(Server(), 1)
    half = sum(a.tables["messages"].columns["accepted"]) / 2
    reported = type(a)(replace_fields(a.info, requests=RequestsInfo(count=half, source="wrk.txt")), a.tables)
    assert row(compared(reported, reported), "recvfrom, reactor-0").rate_a == pytest.approx(2.0, rel=0.01)


def test_a_missing_table_is_not_zero():
    found = compared(run_of(Server(), 1), run_of(Server(), 2, without=("syscalls", "profile_samples")))
    assert not found.changed
    assert not [one for one in found.rows if one.group in ("system calls", "functions", "CPU time")]
    assert any("Skipped system calls: B has no table syscalls" in one for one in found.skipped)
    assert any("Skipped functions" in one or "Skipped CPU time" in one for one in found.skipped)


def without_threads(run):
    """The Run as a tool without thread names would record it."""
    calls = run.tables["syscalls"]
    nobody = {
        "pid": [0] * len(calls),
        "tid": [0] * len(calls),
        "process": [""] * len(calls),
        "thread": [""] * len(calls),
    }
    return type(run)(run.info, {**run.tables, "syscalls": type(calls)("syscalls", {**calls.columns, **nobody})})


def test_a_side_without_threads_is_compared_by_call():
    a, b = run_of(Server(), 1), without_threads(run_of(with_calls(fcntl=0.5), 2))
    for one, other, verdict in ((a, b, "new"), (b, a, "gone")):
        found = compared(one, other)
        assert [(row.name, row.verdict) for row in found.changed] == [("fcntl", verdict)]
        calls = [row for row in found.rows if row.group == "system calls"]
        assert len({row.name for row in calls}) == len(calls)
        # Those of the timer are among the reads, and timeouts still have threads.
        assert row(found, "read").rate_a > 0
        assert row(found, "epoll_wait with timeout infinite, reactor-0")


def test_a_column_that_one_side_lacks_is_not_zero():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    intervals = {
        name: values for name, values in b.tables["intervals"].columns.items() if not name.startswith("machine")
    }
    b = type(b)(b.info, {**b.tables, "intervals": type(b.tables["intervals"])("intervals", intervals)})
    found = compared(a, b)
    assert not [one for one in found.rows if one.group == "machine"]
    assert any("Skipped machine: B has no column machine_switches" in one for one in found.skipped)


def test_failed_calls_that_one_side_did_not_count_are_not_zero():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    calls = b.tables["syscalls"]
    errors = type(calls)("syscall_errors", {**calls.columns, "errno": ["EAGAIN"] * len(calls)})
    found = compared(a, type(b)(b.info, {**b.tables, "syscall_errors": errors}))
    assert not found.changed
    assert any("Skipped failed calls: A has no table" in one for one in found.skipped)


def test_without_requests_rates_are_per_second():
    a, b = (run_of(Server(), seed, without=("messages",)) for seed in (1, 2))
    assert compared(a, b).per == "second"
    with pytest.raises(NetprobeError, match="The number of requests in A and B is not known"):
        compared(a, b, "request")


def test_too_few_intervals_are_inconclusive():
    found = compared(run_of(Server(), 1, 2.0, 2), run_of(with_calls(fcntl=5.0), 2, 2.0, 2))
    assert not found.changed
    assert {one.verdict for one in found.rows} == {"inconclusive"}
    assert any("time intervals" in one for one in found.skipped)


def test_smallest_detectable_change():
    exact, noisy = (
        row(compared(run_of(Server(), 1), run_of(Server(), 2)), name).smallest_detectable_change_pct
        for name in ("sendto, reactor-0", "epoll_wait, reactor-0")
    )
    assert 1 < exact < 15 < noisy


# ---- Series ----


def series(server, first, count=5):
    return [run_of(server, first + seed) for seed in range(count)]


def test_equal_series_have_no_changes():
    pairs = [(series(Server(), 10 * seed), series(Server(), 5000 + 10 * seed)) for seed in range(40)]
    assert sum(bool(compared(*pair).changed) for pair in pairs) <= 1


def test_a_series_detects_smaller_changes():
    """A bit more, that one recording inconclusive from the next."""
    more = with_calls(sendto=1.04)
    assert not compared(run_of(Server(), 1), run_of(more, 2)).changed
    assert compared(series(Server(), 1), series(more, 2)).changed[0].name == "sendto, reactor-0"


def test_a_series_needs_two_runs():
    with pytest.raises(NetprobeError, match="has 1 Run"):
        sides_of([run_of(Server(), 1)], [run_of(Server(), 2)])


# ---- Comparability warnings ----


def warnings(found):
    return [warning.message for warning in found.comparability_warnings]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"hostname": "other"}, "The hosts differ: lab and other"),
        ({"kernel": "6.9"}, "6.1 and 6.9"),
        ({"cpus_online": "0"}, "The online CPUs differ"),
        ({"boot_parameters": "mitigations=off"}, "only A has quiet; only B has mitigations=off"),
    ],
)
def test_another_host_is_a_warning(host, message):
    b = run_of(Server(), 2)
    b = type(b)(replace_fields(b.info, host=replace_fields(b.info.host, **host)), b.tables)
    assert any(message in text for text in warnings(compared(run_of(Server(), 1), b)))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"probes": ["syscalls", "stacks"]}, "only A has locality, switches. Only data of both sides are compared."),
        ({"dropped": ["3 messages are missing"]}, "B: 3 messages are missing"),
    ],
)
def test_another_recording_is_a_warning(info, message):
    found = compared(run_of(Server(), 1), run_of(Server(info=info), 2))
    assert any(message in text for text in warnings(found)), warnings(found)


def test_equal_runs_have_no_warnings():
    a = run_of(Server(), 1)
    assert compared(a, a).comparability_warnings == ()


def test_an_unknown_load_is_a_warning():
    a, b = (run_of(Server(), seed, without=("messages",)) for seed in (1, 2))
    assert warnings(compared(a, b)) == ["The number of requests in A and B is not known, so the load may differ."]
    assert heading(compared(a, b))[2] == "Comparability warnings:"


def test_tables_that_one_side_lacks_are_a_warning():
    """Both used the same probes, so the tables were deleted."""
    lacking = run_of(Server(), 2, without=("syscalls", "profile_samples"))
    message = "The tables differ: only A has syscalls, profile_samples. Only tables of both sides are compared."
    assert warnings(compared(run_of(Server(), 1), lacking)) == [message]


def test_the_lengths_of_a_series_are_those_of_its_runs():
    """The total length is the same."""
    a, b = series(Server(), 1, 4), [run_of(Server(), seed, 40 / 3, 53) for seed in (5, 6, 7)]
    (one,) = [one for one in compared(a, b).comparability_warnings if one.aspect == "length"]
    assert (one.before, one.after) == ("10.0 s", "13.3 s")
    uneven = [run_of(Server(), 1, 5, 20), run_of(Server(), 2, 15, 60)]
    (one,) = [one for one in compared(uneven, uneven).comparability_warnings if one.aspect == "length"]
    assert one.message == "The lengths differ: 5.0 to 15.0 s and 5.0 to 15.0 s."
    assert not compared(a, series(Server(), 11, 3)).comparability_warnings


def test_a_series_of_two_kernels_is_a_warning():
    other = run_of(Server(), 2)
    other = type(other)(replace_fields(other.info, host=replace_fields(other.info.host, kernel="6.9")), other.tables)
    found = compared(series(Server(), 1, 2), [run_of(Server(), 3), other])
    assert warnings(found) == ["The Runs of B differ in kernel: 6.1, 6.9."]


def test_programs_of_one_side_are_a_warning():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    columns = {name: [*values, *values] for name, values in b.tables["programs"].columns.items()}
    columns["path"] = ["/bin/server", "/bin/other"]
    b = type(b)(b.info, {**b.tables, "programs": type(b.tables["programs"])("programs", columns)})
    assert warnings(compared(a, b)) == ["The programs differ: only B has /bin/other."]


def test_load_and_length_are_warnings():
    found = compared(run_of(Server(), 1), run_of(Server(load=40_000), 2, 20, 80))
    aspects = {one.aspect for one in found.comparability_warnings}
    assert aspects == {"load", "length"}


def test_requests_of_a_duty_cycled_recording_are_scaled():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    window = replace_fields(b.info.recording, elapsed_seconds=4 * b.seconds)
    reported = RequestsInfo(count=4 * request_count(b).count, source="wrk.txt")
    light = type(b)(replace_fields(b.info, recording=window, requests=reported), b.tables)
    assert request_count(light).count == pytest.approx(request_count(b).count)
    assert f"{b.seconds:.1f} s counted of {4 * b.seconds:.1f} s" in repr(light)
    found = compared(a, light)
    assert not found.changed
    assert [one.message for one in found.comparability_warnings if one.aspect == "duty cycle"] == [
        "B is a duty-cycled recording (--light): netprobe slowed down the server more in A."
    ]


def test_another_build_is_a_warning():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    b.tables["programs"].columns["build_id"][0] = "cd" * 20
    assert any("The builds of /bin/server differ" in text for text in warnings(compared(a, b)))


# ---- For Python ----


def test_the_python_interface():
    found = netprobe.compare(run_of(Server(), 1), run_of(with_calls(fcntl=0.5), 2))
    frame = found.changes
    assert frame.loc[0, "name"] == "fcntl, reactor-0"
    assert frame.loc[0, "verdict"] == "new"
    assert set(frame["verdict"]) <= {"new", "gone", "more", "less", "within noise", "inconclusive"}
    assert isinstance(found.findings, tuple)


def test_regressions():
    found = compared(run_of(Server(), 1), run_of(with_calls(sendto=1.3, fcntl=0.5), 2))
    assert {one.name for one in found.regressions()} == {"sendto, reactor-0", "fcntl, reactor-0"}
    assert {one.name for one in found.regressions(50)} == {"fcntl, reactor-0"}
    back = compared(run_of(with_calls(sendto=1.3, fcntl=0.5), 2), run_of(Server(), 1))
    assert not back.regressions()


WORK = ("main", "loop", "handle", "work")


def with_time(**times):
    """A server in which functions take these shares of the time, 0 removes one."""
    stacks = {stack: share for stack, share in STACKS.items() if times.get(stack[-1], share)}
    changed = {(*WORK[:-1], name): share for name, share in times.items() if share}
    return replace(Server(), stacks=stacks | changed)


@pytest.mark.parametrize(("percent", "fails"), [(0, True), (20, True), (40, False)])
def test_a_new_function_that_costs_is_a_regression(percent, fails):
    found = compared(series(Server(), 1), series(with_time(work=0.3), 20)).regressions(percent)
    assert ("work" in {one.name for one in found}) is fails


@pytest.mark.parametrize(
    "times",
    [{"parse": 0, "unpack": 0.2}, {"parse": 0, "unpack": 0.1, "read_line": 0.1}, {"parse": 0.05, "unpack": 0.15}],
    ids=["another name", "two halves", "cut out"],
)
def test_the_same_work_in_another_function_is_no_regression(times):
    """The new function takes the time that another function saves."""
    after = [run_of(with_time(**times), seed) for seed in (2, 3, 4, 5, 6)]
    found = compared(series(Server(), 20), after)
    assert "unpack" in {one.name for one in found.changed if one.verdict == "new"}
    assert not found.regressions(1)


def test_regressions_are_listed_once_and_metrics_first():
    found = compared(series(Server(), 1), series(with_time(parse=0.8, work=0.3), 20)).regressions(5)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert names[0] == "time on CPU, reactor-0"
    assert set(names[1:]) >= {"parse", "work"}
    assert [one.score for one in found[1:]] == sorted((one.score for one in found[1:]), reverse=True)


def test_another_form_of_a_call_or_another_load_is_no_regression():
    a = run_of(Server(), 1)
    # Another form of the same call, and another load of a client that sets the pace.
    for other in (replace(Server(), calls={"read": 1.0, "sendto": 1.0, "epoll_wait": 0.5}), Server(load=8_000)):
        assert not compared(a, run_of(other, 2)).regressions()
    more = replace(Server(), calls={"read": 1.3, "sendto": 1.0, "epoll_wait": 0.5})
    names = {one.name for one in compared(a, run_of(more, 2)).regressions(5)}
    assert names == {"read, reactor-0", "receives and reads of any form, reactor-0"}
    spins = compared(a, run_of(replace(Server(), timeout="zero"), 2)).regressions()
    assert {one.name for one in spins} == {"epoll_wait with timeout zero, reactor-0"}
