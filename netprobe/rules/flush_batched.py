"""Responses are queued until the end of the event loop's iteration, although that saves no system call.

## Detection

Input: stacks in tcp_sendmsg, tcp_recvmsg and epoll, the user functions in them, and the number of send calls and
messages. A finding (a deferred write) is reported if four fifths of the sends, of at least 20 samples, branch from the
receives in the function that also waits for events, two or more calls above the send: the response was queued, and
another part of the iteration sends it. There must also be nearly as many send calls as messages; otherwise one call
sends several responses, and queuing is useful. The stacks must reach through the C library: the result is inconclusive
if the library has no frame pointers. Interpreted programs execute everything below one function and are not evaluated.

The cost is not known in advance: the queue takes little CPU time, and the wait adds latency. The finding is a note.

## Why it matters

The first client of an iteration waits until the messages of all others are read, and each connection is looked up
twice.

In the investigation cited below, queuing cost 2 % of the throughput. It is useful where several responses of one
connection are sent in one call (pipelining, RPC).

## Fix

Send the response where the request is handled, and compare two Runs.

Seastar: disable `batch_flushes` on the output stream of an epoll reactor.

## Source

send(2); the investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, Remember to Flush.
"""

from __future__ import annotations

from netprobe.analysis.send_paths import SendPaths, send_paths
from netprobe.rules.context import RunContext
from netprobe.rules.costs import require_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "flush-batched"
DOCUMENTATION = parse(__doc__)
_SENDS = frozenset({"sendto", "sendmsg", "write", "writev"})
_MIN_SAMPLES = 20
_MIN_DEFERRED_SHARE, _MIN_TRACED_SHARE = 0.8, 0.5
_MIN_SENDS_PER_MESSAGE, _MIN_PER_SECOND = 0.9, 100


def evaluate(context: RunContext) -> Result:
    """Sends that branch from the receives at the event loop."""
    require_samples(context)
    messages = context.matrix.cells.total()
    tids = {(thread.pid, thread.tid) for thread in context.reactors}
    calls = sum(row.calls for row in context.calls_by_thread if row.syscall in _SENDS and (row.pid, row.tid) in tids)
    if messages < _MIN_PER_SECOND * context.seconds or calls < _MIN_SENDS_PER_MESSAGE * messages:
        return Pass(CODE, f"{calls} send calls for {messages} messages")
    paths = send_paths(context.profile)
    if paths.sends < _MIN_SAMPLES:
        return Pass(CODE, f"{paths.sends} samples are in sends")
    if paths.traced < _MIN_TRACED_SHARE * paths.sends:
        return Inconclusive(
            CODE,
            f"needs stacks that reach from the sends to the event loop, and {paths.traced} of {paths.sends} do: the "
            "program or its C library has no frame pointers",
        )
    if paths.deferred < _MIN_DEFERRED_SHARE * paths.traced:
        return Pass(CODE, "responses are sent where the requests are handled")
    return _finding(paths, calls, messages)


def _finding(paths: SendPaths, calls: int, messages: int) -> Finding:
    return Finding(
        CODE,
        Severity.NOTE,
        f"Responses are queued and sent later by {paths.sent_by}, not where the requests are handled.",
        (
            Evidence(
                f"{paths.deferred} of {paths.traced} samples in tcp_sendmsg are below {paths.sent_by}, which "
                f"{paths.loop} calls in addition to {paths.received_by or 'the receiving function'}",
                paths.deferred,
                "samples",
            ),
            Evidence(f"{calls / messages:.2f} send calls per message: queuing saves no calls", calls),
        ),
        DOCUMENTATION,
    )
