"""The server receives with read() instead of recv().

## What it sees

Messages that the server's threads read from TCP sockets, against their calls of read(), readv() and of the recv family.
What the recv calls cannot account for was read by read(). It is a finding where that is at least a tenth of the
messages, and at least 100 a second. Of imported counts of calls, which tell neither messages nor threads: what was sent
(sendto, sendmsg: only sockets have these) and no recv call accounts for. Stacks confirm it: `tcp_recvmsg` below
`ksys_read` and `sock_read_iter`.

The cost is an estimate: 60 ns for each such message, or, with 1,000 samples and more, half of the samples in the layer
of files itself (ksys_read, vfs_read, rw_verify_area, sock_read_iter …) on the way to `tcp_recvmsg`.

## Why it matters

`read()` works on any file: before it comes to the socket it checks position, permission and file system notification,
and makes an iterator for it. `recv()` goes to the socket at once. It is little for one call, and adds up beyond some
50,000 a second and core.

## How to fix it

`recv(fd, buffer, size, 0)` instead of `read(fd, buffer, size)`, and `send()` instead of `write()`: the same arguments
otherwise.

## Source

`sock_read_iter()` in net/socket.c, `vfs_read()` in fs/read_write.c; recv(2); the investigation “Linux Kernel vs DPDK:
HTTP Performance Showdown”, It is better to RECV.
"""

from __future__ import annotations

import re

from netprobe.analysis.requests import SENDS
from netprobe.rules.context import RunContext
from netprobe.rules.costs import FILE_LAYER_NS, of_threads, unknown_cost, with_samples
from netprobe.rules.finding import Evidence, Finding, Inconclusive, Pass, Result, Severity

CODE = "read-on-sockets"
_READS, _RECEIVES = frozenset({"read", "readv"}), frozenset({"recvfrom", "recvmsg", "recvmmsg"})
_LEAST_SHARE, _LEAST_PER_SECOND = 0.1, 100
_MANY_SAMPLES = 1000
_WHY = "read() goes through the layer of files (position, permission, notification) before it comes to the socket."
_REMEDY = "recv(fd, buffer, size, 0) instead of read(fd, buffer, size); send() instead of write()."
_SOURCE = "sock_read_iter() in net/socket.c, vfs_read() in fs/read_write.c"
_UNDER_READ = re.compile(r"(ksys_readv?|do_readv|vfs_readv?)$").match
_TCP_RECEIVE = re.compile(r"tcp_recvmsg").match
_FILE_LAYER = re.compile(
    r"(ksys_readv?|vfs_readv?|new_sync_read|do_iter_readv?_writev|rw_verify_area|sock_read_iter|fdget_pos|__fdget_pos|"
    r"security_file_permission|fsnotify.*|__x64_sys_readv?)$"
).match


def evaluate(context: RunContext) -> Result:
    """Messages that no recv call accounts for."""
    if context.imported:
        return _of_calls(context)
    messages = {(here.pid, here.tid): here.matrix.cells.total() for here in context.reactors}
    total = sum(messages.values())
    made = [row for row in context.calls_by_thread if (row.pid, row.tid) in messages]
    received = sum(row.calls for row in made if row.syscall in _RECEIVES)
    reads = {row.thread: row.calls for row in made if row.syscall in _READS}
    found = min(sum(reads.values()), total - received)
    if found < _LEAST_PER_SECOND * context.seconds or found < _LEAST_SHARE * total:
        return Pass(CODE, f"{received} calls of the recv family for {total} messages")
    return _finding(context, found, total, reads)


def _of_calls(context: RunContext) -> Result:
    """Counts of calls alone: what is sent was received before, by a call of the recv family or by read()."""
    made = {row.syscall: row.calls for row in context.calls}
    received, sent = (sum(made.get(name, 0) for name in names) for names in (_RECEIVES, SENDS))
    reads = {name: made[name] for name in sorted(_READS) if made.get(name)}
    if not sent:
        return Inconclusive(CODE, "no call of the send family was imported, so whether it reads sockets is not known")
    found = min(sum(reads.values()), sent - received)
    if found < _LEAST_SHARE * sent or not context.often(found, _LEAST_PER_SECOND):
        return Pass(CODE, f"{received} calls of the recv family for {sent} of the send family")
    return Finding(
        CODE,
        Severity.of(context.share_of_cpu(found * FILE_LAYER_NS)),
        f"{', '.join(f'{name}()' for name in reads)} receives what recv() could: "
        f"{100 * found / sent:.0f} % of the messages.",
        (
            *(Evidence(f"{calls} calls of {name}, {context.pace(calls)}", calls) for name, calls in reads.items()),
            Evidence(f"{received} calls of the recv family, for {sent} of the send family", received),
            *unknown_cost(context),
        ),
        _WHY,
        _REMEDY,
        _SOURCE,
        min(100.0, context.share_of_cpu(found * FILE_LAYER_NS)),
    )


def _finding(context: RunContext, found: int, total: int, reads: dict[str, int]) -> Finding:
    cost = min(100.0, context.share_of_cpu(found * FILE_LAYER_NS))
    evidence = [
        Evidence(
            f"{found} of {total} messages were received with read(), {found / context.seconds:.0f} a second", found
        ),
        Evidence(f"by {of_threads(reads)}", len(reads), "threads"),
    ]
    if with_samples(context):
        both = context.frames.having(_TCP_RECEIVE)
        under = context.frames.having(_TCP_RECEIVE, below=_UNDER_READ)
        if both.samples:
            evidence.append(
                Evidence(f"{under.samples} of {both.samples} samples in tcp_recvmsg are below {_via(context)}")
            )
        if context.frames.samples >= _MANY_SAMPLES:
            cost = context.frames.ending(_FILE_LAYER).pct / 2
    return Finding(
        CODE,
        Severity.of(cost),
        f"{100 * found / total:.0f} % of the messages are received with read() instead of recv().",
        tuple(evidence),
        _WHY,
        _REMEDY,
        _SOURCE,
        cost,
    )


def _via(context: RunContext) -> str:
    names = [name for name, _ in context.frames.having(_UNDER_READ).frames]
    return names[0] if names else "ksys_read"
