"""Answers are kept until the end of the event loop's round, though that saves no call.

## What it sees

Stacks that are in tcp_sendmsg, tcp_recvmsg and epoll, the program's own functions in them, and the number of send calls
against messages. It is a finding where four fifths of the sends, of 20 samples at least, part from the receives in the
very function that also waits for events, two calls or more above the send: the answer was put aside, and is sent by
another part of the loop's round. And only where there are nearly as many send calls as messages: otherwise several
answers go out in one call, and keeping them is of use. It takes stacks that reach through the C library: where that has
no frame pointers, it inconclusive. Interpreted programs do everything below one function, and are left out.

The cost is not known before it is tried: what a queue takes is little, what the client waits for is latency. It ranks
as a note.

## Why it matters

The first client of a round waits until all others of the round have been read; the connection is looked up and its
memory fetched once more. In the investigation it took 2 % of the throughput. It pays where several answers of one
connection become one call (pipelining, RPC).

## How to fix it

Send as soon as the answer is there: call send() where the request was handled. Seastar: `batch_flushes` off on the
output stream of an epoll reactor. Then compare two Runs.

## Source

send(2); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Remember to Flush.
"""

from __future__ import annotations

from netprobe.analysis.answer_paths import AnswerPaths, answer_paths
from netprobe.rules.context import RunContext
from netprobe.rules.costs import enough_samples
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "flush-batched"
_SENDS = frozenset({"sendto", "sendmsg", "write", "writev"})
_FEWEST_SAMPLES = 20
_LEAST_SHARE, _LEAST_TELLING = 0.8, 0.5
_LEAST_SENDS, _LEAST_PER_SECOND = 0.9, 100


def evaluate(context: RunContext) -> Result:
    """Sends that part from the receives at the loop."""
    enough_samples(context)
    messages = context.matrix.cells.total()
    tids = {(here.pid, here.tid) for here in context.reactors}
    calls = sum(row.calls for row in context.calls_by_thread if row.syscall in _SENDS and (row.pid, row.tid) in tids)
    if messages < _LEAST_PER_SECOND * context.seconds or calls < _LEAST_SENDS * messages:
        return Pass(CODE, f"{calls} send calls for {messages} messages")
    paths = answer_paths(context.profile)
    if paths.sends < _FEWEST_SAMPLES:
        return Pass(CODE, f"{paths.sends} samples are in sends")
    if paths.telling < _LEAST_TELLING * paths.sends:
        return Inconclusive(
            CODE,
            f"needs stacks that reach from the sends to the event loop, and {paths.telling} of {paths.sends} do: the "
            "program or its C library has no frame pointers",
        )
    if paths.apart < _LEAST_SHARE * paths.telling:
        return Pass(CODE, "answers are sent where the requests are handled")
    return _finding(paths, calls, messages)


def _finding(paths: AnswerPaths, calls: int, messages: int) -> Finding:
    return Finding(
        CODE,
        Severity.NOTE,
        f"Answers are sent by {paths.kept_by} at another time of the loop's round, not where requests are handled.",
        (
            Evidence(
                f"{paths.apart} of {paths.telling} samples in tcp_sendmsg are below {paths.kept_by}, which "
                f"{paths.loop} calls beside {paths.received_by or 'what receives'}",
                paths.apart,
                "samples",
            ),
            Evidence(f"{calls / messages:.2f} send calls for each message: keeping answers saves none", calls),
        ),
        "The first client of a round waits for all others of it, and each connection is taken up twice.",
        "Send where the request was handled; Seastar: switch batch_flushes off. Then compare two Runs.",
        "send(2); the investigation “Linux Kernel vs DPDK”, Remember to Flush",
    )
