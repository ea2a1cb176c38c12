"""The server receives with read() instead of recv().

## Detection

Input: messages that the serving threads read from TCP sockets, and their calls of read(), readv() and the recv family.
Messages in excess of the recv calls were read with read(). A finding is reported if they are at least a tenth of the
messages, and at least 100 per second. Imported counts of calls contain neither messages nor threads: they are evaluated
by the calls of sendto and sendmsg, which only sockets support, in excess of the recv calls. Stacks confirm the result:
`tcp_recvmsg` below `ksys_read` and `sock_read_iter`.

The cost is an estimate: 60 ns for each such message or, from 1,000 samples on, half of the samples in the VFS layer
itself (ksys_read, vfs_read, rw_verify_area, sock_read_iter …) above `tcp_recvmsg`.

## Why it matters

`read()` passes the VFS layer (position, permission, notification) before it reaches the socket; `recv()` does not.

The difference is small for one call, and significant from about 50,000 calls per second and core on.

## Fix

Call `recv(fd, buffer, size, 0)` instead of `read(fd, buffer, size)`, and `send()` instead of `write()`.

The other arguments are the same.

## Source

`sock_read_iter()` in net/socket.c, `vfs_read()` in fs/read_write.c; recv(2); the investigation “Linux Kernel vs DPDK:
HTTP Performance Showdown”, It is better to RECV.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from netprobe.analysis.request_count import SENDS
from netprobe.rules.context import RunContext
from netprobe.rules.costs import VFS_LAYER_NS, has_enough_samples, labels, thread_list, unknown_cost_evidence
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "read-on-sockets"
DOCUMENTATION = parse(__doc__)
_READS, _RECEIVES = frozenset({"read", "readv"}), frozenset({"recvfrom", "recvmsg", "recvmmsg"})
_MIN_SHARE, _MIN_PER_SECOND = 0.1, 100
_MANY_SAMPLES = 1000
_UNDER_READ = re.compile(r"(ksys_readv?|do_readv|vfs_readv?)$").match
_TCP_RECEIVE = re.compile(r"tcp_recvmsg").match
_VFS_LAYER = re.compile(
    r"(ksys_readv?|vfs_readv?|new_sync_read|do_iter_readv?_writev|rw_verify_area|sock_read_iter|fdget_pos|__fdget_pos|"
    r"security_file_permission|fsnotify.*|__x64_sys_readv?)$"
).match


def evaluate(context: RunContext) -> Result:
    """Messages in excess of the calls of the recv family."""
    if context.imported:
        return _of_imported_counts(context)
    messages = {(thread.pid, thread.tid): thread.matrix.cells.total() for thread in context.reactors}
    total = sum(messages.values())
    rows = [row for row in context.calls_by_thread if (row.pid, row.tid) in messages]
    received = sum(row.calls for row in rows if row.syscall in _RECEIVES)
    reading = [row for row in rows if row.syscall in _READS and row.calls]
    by_read = min(sum(row.calls for row in reading), total - received)
    if by_read < _MIN_PER_SECOND * context.seconds or by_read < _MIN_SHARE * total:
        return Pass(CODE, f"{received} calls of the recv family for {total} messages")
    names = labels((row.pid, row.tid, row.thread) for row in reading).values()
    return _finding(context, by_read, total, names)


def _of_imported_counts(context: RunContext) -> Result:
    """Counts of calls alone: each message that is sent was received before, by the recv family or by read()."""
    calls = {row.syscall: row.calls for row in context.calls}
    received, sent = (sum(calls.get(name, 0) for name in names) for names in (_RECEIVES, SENDS))
    reads = {name: calls[name] for name in sorted(_READS) if calls.get(name)}
    if not sent:
        return Inconclusive(CODE, "no call of the send family was imported, so reads of sockets are not distinguished")
    by_read = min(sum(reads.values()), sent - received)
    if by_read < _MIN_SHARE * sent or not context.is_frequent(by_read, _MIN_PER_SECOND):
        return Pass(CODE, f"{received} calls of the recv family for {sent} of the send family")
    cost = context.share_of_cpu(by_read * VFS_LAYER_NS)
    return Finding(
        CODE,
        Severity.of(cost),
        f"{100 * by_read / sent:.0f} % of the messages are received with "
        f"{', '.join(f'{name}()' for name in reads)} instead of recv().",
        (
            *(Evidence(f"{count} calls of {name}, {context.rate_text(count)}", count) for name, count in reads.items()),
            Evidence(f"{received} calls of the recv family, for {sent} of the send family", received),
            *unknown_cost_evidence(context),
        ),
        DOCUMENTATION,
        cost_pct=min(100.0, cost),
    )


def _finding(context: RunContext, by_read: int, total: int, names: Collection[str]) -> Finding:
    cost = min(100.0, context.share_of_cpu(by_read * VFS_LAYER_NS))
    per_second = by_read / context.seconds
    evidence = [
        Evidence(f"{by_read} of {total} messages were received with read(), {per_second:.0f} per second", by_read),
        Evidence(f"by {thread_list(names)}", len(names), "threads"),
    ]
    if has_enough_samples(context):
        receives = context.frames.having(_TCP_RECEIVE)
        under_read = context.frames.having(_TCP_RECEIVE, below=_UNDER_READ)
        if receives.samples:
            callers = [name for name, _ in context.frames.having(_UNDER_READ).frames]
            caller = callers[0] if callers else "ksys_read"
            evidence.append(
                Evidence(f"{under_read.samples} of {receives.samples} samples in tcp_recvmsg are below {caller}")
            )
        if context.frames.samples >= _MANY_SAMPLES:
            cost = context.frames.ending(_VFS_LAYER).pct / 2
    return Finding(
        CODE,
        Severity.of(cost),
        f"{100 * by_read / total:.0f} % of the messages are received with read() instead of recv().",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=cost,
    )
