"""Comparisons of made Runs: silent where nothing changed, and the change that was made comes first."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

import netprobe
from netprobe.analysis.compare.comparison import compare_sides, sides_of
from netprobe.analysis.requests import requests_of
from netprobe.errors import NetprobeError
from netprobe.render.diff import heading
from netprobe.run.description import RequestsInfo

_SPEC = importlib.util.spec_from_file_location("made", Path(__file__).with_name("made.py"))
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)
Server, run_of, STACKS = made.Server, made.run_of, made.STACKS


@pytest.fixture(scope="module", autouse=True)
def _dataclasses_find_their_module():
    import sys

    sys.modules["made"] = made


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
def test_silence(other, seconds):
    """100 comparisons of the same thing: at most one has a change."""
    loud = [
        seed for seed in range(100)
        if compared(run_of(Server(), seed), run_of(other, 1000 + seed, seconds, 4 * seconds)).changed
    ]  # fmt: skip
    assert len(loud) <= 1


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
def test_what_changed_comes_first(changed, name, verdict, seed):
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
    assert first.responsibility > 0.9
    assert first.overweight > 1.5
    # The callers grew as well: what they call explains it.
    assert [one.function for one in found.explained] == ["parse"]


def test_a_renamed_function_is_proposed():
    stacks = {
        tuple("parse_v2" if name == "parse" else name for name in stack): share for stack, share in STACKS.items()
    }
    found = compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2))
    assert [(one.how, one.before, one.after) for one in found.renamed] == [("renamed", "parse", "parse_v2")]


def test_a_compilers_suffix_is_no_change():
    stacks = {tuple("parse.isra.0" if name == "parse" else name for name in stack): s for stack, s in STACKS.items()}
    assert not compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2)).changed


def test_an_inlined_function_is_proposed():
    stacks = {tuple(name for name in stack if name != "parse"): share for stack, share in STACKS.items()}
    found = compared(run_of(Server(), 1), run_of(replace(Server(), stacks=stacks), 2))
    assert [(one.how, one.before, one.after) for one in found.renamed] == [("inlined", "parse", "handle")]


def test_by_second_load_is_a_change_and_by_request_it_is_not():
    a, b = run_of(Server(), 1), run_of(Server(load=60_000), 2)
    assert not compared(a, b).changed
    assert {one.name for one in compared(a, b, "second").changed} >= {"recvfrom, reactor-0"}


def test_requests_that_were_told_are_the_denominator():
    a = run_of(Server(), 1)
    half = sum(a.tables["messages"].columns["accepted"]) / 2
    told = type(a)(replace_fields(a.info, requests=RequestsInfo(count=half, source="wrk.txt")), a.tables)
    assert row(compared(told, told), "recvfrom, reactor-0").rate_a == pytest.approx(2.0, rel=0.01)


def test_a_missing_table_is_no_zero():
    found = compared(run_of(Server(), 1), run_of(Server(), 2, without=("syscalls", "profile_samples")))
    assert not found.changed
    assert not [one for one in found.rows if one.group in ("system calls", "functions", "CPU time")]
    assert any("INCONCLUSIVE about system calls: B has no table syscalls" in one for one in found.skipped)
    assert any("INCONCLUSIVE about functions" in one or "INCONCLUSIVE about CPU time" in one for one in found.skipped)


def without_threads(run):
    """The same by a tool that names none."""
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


def test_a_column_that_one_side_lacks_is_no_zero():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    intervals = {
        name: values for name, values in b.tables["intervals"].columns.items() if not name.startswith("machine")
    }
    b = type(b)(b.info, {**b.tables, "intervals": type(b.tables["intervals"])("intervals", intervals)})
    found = compared(a, b)
    assert not [one for one in found.rows if one.group == "machine"]
    assert any("INCONCLUSIVE about machine: B has no column machine_switches" in one for one in found.skipped)


def test_failed_calls_that_one_side_did_not_count_are_no_zero():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    calls = b.tables["syscalls"]
    errors = type(calls)("syscall_errors", {**calls.columns, "errno": ["EAGAIN"] * len(calls)})
    found = compared(a, type(b)(b.info, {**b.tables, "syscall_errors": errors}))
    assert not found.changed
    assert any("INCONCLUSIVE about failed calls: A has no table" in one for one in found.skipped)


def test_without_requests_by_second():
    a, b = (run_of(Server(), seed, without=("messages",)) for seed in (1, 2))
    assert compared(a, b).per == "second"
    with pytest.raises(NetprobeError, match="How many requests A and B served is not known"):
        compared(a, b, "request")


def test_too_few_intervals_cannot_tell():
    found = compared(run_of(Server(), 1, 2.0, 2), run_of(with_calls(fcntl=5.0), 2, 2.0, 2))
    assert not found.changed
    assert {one.verdict for one in found.rows} == {"inconclusive"}
    assert any("time intervals" in one for one in found.skipped)


def test_what_would_have_been_seen():
    exact, noisy = (
        row(compared(run_of(Server(), 1), run_of(Server(), 2)), name).detectable_pct
        for name in ("sendto, reactor-0", "epoll_wait, reactor-0")
    )
    assert 1 < exact < 15 < noisy


# ---- Series ----


def series(server, first, count=5):
    return [run_of(server, first + seed) for seed in range(count)]


def test_a_series_is_silent():
    pairs = [(series(Server(), 10 * seed), series(Server(), 5000 + 10 * seed)) for seed in range(40)]
    assert sum(bool(compared(*pair).changed) for pair in pairs) <= 1


def test_a_series_sees_less():
    """A bit more, that one recording inconclusive from the next."""
    more = with_calls(sendto=1.04)
    assert not compared(run_of(Server(), 1), run_of(more, 2)).changed
    assert compared(series(Server(), 1), series(more, 2)).changed[0].name == "sendto, reactor-0"


def test_a_series_of_one_is_none():
    with pytest.raises(NetprobeError, match="has 1 Run"):
        sides_of([run_of(Server(), 1)], [run_of(Server(), 2)])


# ---- Comparable? ----


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"hostname": "other"}, "two machines"),
        ({"kernel": "6.9"}, "6.1 and 6.9"),
        ({"cpus_online": "0"}, "CPUs were online"),
        ({"boot_parameters": "mitigations=off"}, "only A has quiet; only B has mitigations=off"),
    ],
)
def test_another_host_is_said(host, words):
    b = run_of(Server(), 2)
    b = type(b)(replace_fields(b.info, host=replace_fields(b.info.host, **host)), b.tables)
    assert any(words in one.words for one in compared(run_of(Server(), 1), b).comparable)


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"probes": ["syscalls", "stacks"]}, "only A has locality, switches; what both have is compared"),
        ({"dropped": ["3 messages are missing"]}, "B: 3 messages are missing"),
    ],
)
def test_another_recording_is_said(info, words):
    found = compared(run_of(Server(), 1), run_of(Server(info=info), 2))
    assert any(words in one.words for one in found.comparable), found.comparable


def test_nothing_differs():
    a = run_of(Server(), 1)
    assert compared(a, a).comparable == ()


def test_a_load_that_nobody_knows_is_not_the_same():
    a, b = (run_of(Server(), seed, without=("messages",)) for seed in (1, 2))
    (one,) = compared(a, b).comparable
    assert one.words == "How many requests A and B served is not known, so the load may differ."
    assert heading(compared(a, b))[2] == "Before anything else:"


def test_tables_that_one_side_lacks_are_said():
    """Lost on the way: both recorded the same."""
    lacking = run_of(Server(), 2, without=("syscalls", "profile_samples"))
    words = "Not the same tables are there: only A has syscalls, profile_samples; what both have is compared."
    assert [one.words for one in compared(run_of(Server(), 1), lacking).comparable] == [words]


def test_the_lengths_of_a_series_are_those_of_its_runs():
    """As many seconds in all."""
    a, b = series(Server(), 1, 4), [run_of(Server(), seed, 40 / 3, 53) for seed in (5, 6, 7)]
    (one,) = [one for one in compared(a, b).comparable if one.aspect == "length"]
    assert (one.before, one.after) == ("10.0 s", "13.3 s")
    uneven = [run_of(Server(), 1, 5, 20), run_of(Server(), 2, 15, 60)]
    (one,) = [one for one in compared(uneven, uneven).comparable if one.aspect == "length"]
    assert one.words == "The recordings are not equally long: 5.0 to 15.0 s and 5.0 to 15.0 s."
    assert not compared(a, series(Server(), 11, 3)).comparable


def test_a_series_of_two_kernels_is_said():
    other = run_of(Server(), 2)
    other = type(other)(replace_fields(other.info, host=replace_fields(other.info.host, kernel="6.9")), other.tables)
    found = compared(series(Server(), 1, 2), [run_of(Server(), 3), other]).comparable
    assert [one.words for one in found] == ["The Runs of B differ in kernel: 6.1, 6.9."]


def test_programs_of_one_side_are_said():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    columns = {name: [*values, *values] for name, values in b.tables["programs"].columns.items()}
    columns["path"] = ["/bin/server", "/bin/other"]
    b = type(b)(b.info, {**b.tables, "programs": type(b.tables["programs"])("programs", columns)})
    (one,) = compared(a, b).comparable
    assert one.words == "Not the same programs ran: only B has /bin/other."


def test_load_and_length_are_said():
    aspects = {one.aspect for one in compared(run_of(Server(), 1), run_of(Server(load=40_000), 2, 20, 80)).comparable}
    assert aspects == {"load", "length"}


def test_a_light_recording_has_seen_its_part_of_the_requests_and_is_called_one():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    window = replace_fields(b.info.recording, elapsed_seconds=4 * b.seconds)
    told = RequestsInfo(count=4 * requests_of(b).count, source="wrk.txt")
    light = type(b)(replace_fields(b.info, recording=window, requests=told), b.tables)
    assert requests_of(light).count == pytest.approx(requests_of(b).count)
    assert f"{b.seconds:.1f} s counted of {4 * b.seconds:.1f} s" in repr(light)
    found = compared(a, light)
    assert not found.changed
    assert [one.words for one in found.comparable if one.aspect == "light"] == [
        "B was recorded with --light: netprobe slowed down the server of A more."
    ]


def test_another_build_is_said():
    a, b = run_of(Server(), 1), run_of(Server(), 2)
    b.tables["programs"].columns["build_id"][0] = "cd" * 20
    assert any("/bin/server is another build" in one.words for one in compared(a, b).comparable)


# ---- For Python ----


def test_the_python_interface():
    found = netprobe.compare(run_of(Server(), 1), run_of(with_calls(fcntl=0.5), 2))
    frame = found.changes
    assert frame.loc[0, "name"] == "fcntl, reactor-0"
    assert frame.loc[0, "verdict"] == "new"
    assert set(frame["verdict"]) <= {"new", "gone", "more", "less", "no change seen", "inconclusive"}
    assert isinstance(found.findings, tuple)


def test_regressions():
    found = compared(run_of(Server(), 1), run_of(with_calls(sendto=1.3, fcntl=0.5), 2))
    assert {one.name for one in found.regressions()} == {"sendto, reactor-0", "fcntl, reactor-0"}
    assert {one.name for one in found.regressions(50)} == {"fcntl, reactor-0"}
    back = compared(run_of(with_calls(sendto=1.3, fcntl=0.5), 2), run_of(Server(), 1))
    assert not back.regressions()


WORK = ("main", "loop", "handle", "work")


def with_time(**times):
    """A series in which one function takes so much of the time more, or `parse` has another name."""
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
    """New, and it takes the time that another one does not take any more."""
    after = [run_of(with_time(**times), seed) for seed in (2, 3, 4, 5, 6)]
    found = compared(series(Server(), 20), after)
    assert "unpack" in {one.name for one in found.changed if one.verdict == "new"}
    assert not found.regressions(1)


def test_regressions_are_named_once_and_numbers_first():
    found = compared(series(Server(), 1), series(with_time(parse=0.8, work=0.3), 20)).regressions(5)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert names[0] == "time on CPU, reactor-0"
    assert set(names[1:]) >= {"parse", "work"}
    assert [one.score for one in found[1:]] == sorted((one.score for one in found[1:]), reverse=True)


def test_regressions_of_form_and_load():
    a = run_of(Server(), 1)
    # Another form of the same call, and another load of a client that sets the pace.
    for other in (replace(Server(), calls={"read": 1.0, "sendto": 1.0, "epoll_wait": 0.5}), Server(load=8_000)):
        assert not compared(a, run_of(other, 2)).regressions()
    more = replace(Server(), calls={"read": 1.3, "sendto": 1.0, "epoll_wait": 0.5})
    names = {one.name for one in compared(a, run_of(more, 2)).regressions(5)}
    assert names == {"read, reactor-0", "receives and reads of any form, reactor-0"}
    spins = compared(a, run_of(replace(Server(), timeout="zero"), 2)).regressions()
    assert {one.name for one in spins} == {"epoll_wait with timeout zero, reactor-0"}
