"""Results of rules for counts alone, with and without a known length, in memory and from disk."""

import json
import math

import pytest

from netprobe.analysis.request_count import request_count
from netprobe.errors import NetprobeError
from netprobe.rules.context import MissingDataError, context_of
from netprobe.rules.finding import Finding, Inconclusive, Pass, Severity
from netprobe.rules.registry import all_rules, evaluate
from netprobe.run.store import read_run, write_run


def calls(**made):
    heading = "% time     seconds  usecs/call     calls    errors syscall\n" + "------ " * 6 + "\n"
    return heading + "".join(f"  1.00    0.000100           1 {count} {name}\n" for name, count in made.items())


def result_of(run, code):
    (rule,) = [rule for rule in all_rules() if code == rule.CODE]
    return context_of(run).result(rule)


SERVER = {"epoll_wait": 100_003, "sendto": 100_019}


@pytest.mark.parametrize(
    ("made", "seconds", "finds"),
    [
        ({"read": 100_043}, None, True),
        ({"recvfrom": 100_043}, None, False),
        ({"read": 100_043, "recvfrom": 95_003}, None, False),
        ({"read": 100_043, "recvfrom": 50_021}, 10, True),
        # Too few for an unknown length, and enough for a short one.
        ({"read": 100_043, "recvfrom": 85_009}, None, False),
        ({"read": 100_043, "recvfrom": 85_009}, 10, True),
        ({"read": 100_043}, 2000, False),
    ],
)
def test_read_on_sockets(run_of, made, seconds, finds):
    answer = result_of(run_of(calls(**SERVER, **made), seconds), "read-on-sockets")
    assert isinstance(answer, Finding if finds else Pass), answer


def test_reads_without_sends_pass(run_of):
    answer = result_of(run_of(calls(read=100_003, write=100_003, openat=41)), "read-on-sockets")
    assert isinstance(answer, Inconclusive)
    assert "no call of the send family" in answer.reason


@pytest.mark.parametrize(
    ("made", "code", "finds"),
    [
        ({"epoll_ctl": 90_001}, "epoll-ctl-churn", True),
        ({"epoll_ctl": 90_001, "accept4": 22_501}, "epoll-ctl-churn", False),
        ({"futex": 400_009}, "syscalls-per-request", True),
        ({"futex": 200_003}, "syscalls-per-request", False),
    ],
)
def test_calls_per_request(run_of, made, code, finds):
    answer = result_of(run_of(calls(**SERVER, recvfrom=100_043, **made), 10), code)
    assert isinstance(answer, Finding if finds else Pass), answer
    if finds:
        assert answer.cost_pct == 0
        assert any("cost not known" in one.text for one in answer.evidence)


def test_specified_requests(run_of):
    text = calls(**SERVER, recvfrom=100_043, futex=200_003)
    assert isinstance(result_of(run_of(text, 10), "syscalls-per-request"), Pass)
    # Half as many requests mean twice as many calls per request.
    assert isinstance(result_of(run_of(text, 10, 50_021), "syscalls-per-request"), Finding)


@pytest.mark.parametrize(
    ("made", "count"),
    [
        ({"recvfrom": 101, "sendto": 97}, 97),
        ({"recvfrom": 89, "sendto": 97}, 89),
        ({"read": 101, "write": 97, "epoll_wait": 3}, 97),
        ({"recvmsg": 101, "writev": 97}, 97),
        # Files, or no calls at all.
        ({"read": 101, "write": 97}, None),
        ({"mmap": 101}, None),
        ({"recvfrom": 101}, None),
    ],
)
def test_estimated_requests(run_of, made, count):
    found = request_count(run_of(calls(**made)))
    assert (found.count if found else None) == count
    assert found is None or found.estimated


def test_timeouts_that_were_not_imported_are_inconclusive(run_of):
    answer = result_of(run_of(calls(**SERVER, recvfrom=100_003)), "epoll-zero-timeout")
    assert isinstance(answer, Inconclusive)
    assert "100003 waits, 1.00 per request" in answer.reason
    assert isinstance(result_of(run_of(calls(sendto=100_019, recvfrom=100_003)), "epoll-zero-timeout"), Pass)


@pytest.mark.parametrize(
    ("made", "seconds", "finds"),
    [
        # More waits than calls that could follow an event.
        ({"epoll_pwait": 110_017, "recvfrom": 100_003}, 10, True),
        ({"epoll_pwait": 110_017, "recvfrom": 100_003}, None, False),
        ({"epoll_pwait": 170_003, "recvfrom": 100_003}, None, True),
        ({"epoll_pwait": 100_519, "recvfrom": 100_003}, 10, False),
        ({"epoll_pwait": 101_009, "recvfrom": 100_003}, 100, False),
        # Each wait may have returned an event: part of a long response, a connection, an upstream.
        ({"epoll_wait": 170_003, "recvfrom": 100_003, "writev": 70_001}, 10, False),
        ({"epoll_wait": 170_003, "recvfrom": 100_003, "accept4": 70_001}, 10, False),
        ({"epoll_wait": 170_003, "recvfrom": 100_003, "read": 70_001}, 10, False),
    ],
)
def test_waits_that_return_no_event(run_of, made, seconds, finds):
    answer = result_of(run_of(calls(sendto=100_019, **made), seconds), "epoll-zero-timeout")
    assert isinstance(answer, Finding if finds else Inconclusive), answer
    assert not finds or (answer.severity, answer.cost_pct) == (Severity.NOTE, 0)


def machine(*rates, cpus=None, seconds=1):
    banner = f"Linux 6.1.0-13-amd64 (web-1) 11/23/2026 _x86_64_ ({cpus} CPU)\n\n" if cpus else ""
    rows = "".join(f"10:00:{seconds * place:02d} 0.00 {rate:.2f}\n" for place, rate in enumerate(rates, 1))
    return f"{banner}10:00:00 proc/s cswch/s\n{rows}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (machine(17132, 17060, 17048, 17026), Finding),
        (machine(17132, 17060, 17048, 17026, cpus=8), Finding),
        (machine(17132, 17060, 17048, 17026, cpus=16), Inconclusive),
        # Rates that follow the load, too few intervals, averages of long intervals.
        (machine(17132, 16000, 17048, 17026), Inconclusive),
        (machine(17132, 17060), Inconclusive),
        (machine(17132, 17060, 17048, 17026, seconds=5), Inconclusive),
        (machine(7132, 7060, 7048, 7026), Inconclusive),
        (machine(501, 502, 503), Inconclusive),
        (machine(499, 499, 499), Pass),
    ],
    ids=range(9),
)
def test_steady_switch_rate_of_the_machine(run_of, text, expected):
    assert isinstance(result_of(run_of(text), "timer-thread-switching"), expected)


def test_every_rule_has_a_result(run_of):
    for text in (calls(**SERVER), "a, cpu=0, socket 0\n", "10:00:00 proc/s cswch/s\n10:00:01 0.00 5.00\n"):
        answers = evaluate(context_of(run_of(text)))
        assert len(answers) == len(all_rules())
        # A rule without data does not pass.
        assert {one.code for one in answers if isinstance(one, Pass)} <= {
            "read-on-sockets", "epoll-ctl-churn", "syscalls-per-request", "reuseport-order", "timer-thread-switching",
        }  # fmt: skip


def test_unknown_length(run_of):
    context = context_of(run_of(calls(**SERVER)))
    with pytest.raises(MissingDataError, match="-d SECONDS"):
        _ = context.seconds
    assert context.is_frequent(60_000, 100)
    assert not context.is_frequent(59_999, 100)
    assert context.rate_text(12) == "in an unknown time"
    assert context_of(run_of(calls(**SERVER), 10)).rate_text(120) == "12 per second"


def test_results_are_the_same_after_writing_and_reading(run_of, tmp_path):
    run = run_of(calls(**SERVER))
    write_run(run, tmp_path / "run")
    again = read_run(tmp_path / "run")
    assert again.imported
    assert math.isnan(again.seconds)
    assert [one.code for one in evaluate(context_of(again))] == [one.code for one in evaluate(context_of(run))]
    assert list(again.tables["syscalls"].rows("syscall", "calls")) == list(SERVER.items())


def test_a_recorded_run_has_a_length(run_of, tmp_path):
    write_run(run_of(calls(**SERVER)), tmp_path / "run")
    info = json.loads((tmp_path / "run/run.json").read_text())
    del info["imported"]
    (tmp_path / "run/run.json").write_text(json.dumps(info))
    with pytest.raises(NetprobeError, match="corrupt"):
        read_run(tmp_path / "run")
