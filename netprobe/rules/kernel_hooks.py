"""Packets and system calls pass through firewall rules, auditing or packet taps.

## What it sees

Samples in the kernel's hooks, with all below them: netfilter (`nf_hook_slow`, `nft_do_chain`, `ipt_do_table`,
`nf_conntrack_in`), auditing of system calls (`audit_filter_syscall`, `__audit_syscall_entry`), and packet sockets that
copy each packet (`packet_rcv`, `tpacket_rcv`, `dev_queue_xmit_nit`). The kernel's path for traced system calls
(`syscall_trace_enter`) counts only with auditing below it: netprobe itself is the reason for it otherwise. It is a
finding from 1 % of the samples and 5 samples on, all hooks together.

The cost is the share of the samples.

## Why it matters

Each is passed by every packet or every system call, whether or not a rule applies to it. A kernel-bypass stack has none
of them, which is a good part of its lead.

## How to fix it

Netfilter: `nft list ruleset` and `iptables -S` show the rules; empty chains cost as well, so delete tables that are
not needed, let the server's port pass before connection tracking (`… raw prerouting tcp dport 80 notrack`, or a
stateless filter, or XDP). Auditing: `auditctl -l` shows the rules; `auditctl -D; auditctl -e 0`, or `-a never,task`
where policy allows it. Packet taps: `ss -0pb` (or `/proc/net/packet`) names who listens: a DHCP client, tcpdump, lldpd,
an agent; stop it, or give it a filter.

## Source

`nf_hook_slow()` in net/netfilter/core.c, `dev_queue_xmit_nit()` in net/core/dev.c, packet(7), auditctl(8); the
investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, In Defense of the Kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netprobe.analysis.frames import Part
from netprobe.rules.context import RunContext
from netprobe.rules.costs import enough_samples, need_kernel_frames
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "kernel-hooks"
_LEAST_PCT, _FEWEST_SAMPLES = 1.0, 5


@dataclass(frozen=True)
class Hook:
    """A kind of hook: its functions, and what to do about it."""

    name: str
    functions: re.Pattern[str]
    fix: str


_HOOKS = (
    Hook(
        "netfilter",
        re.compile(
            r"(nf_hook_slow(_list)?|nf_hook|ip6?t_do_table|nft_do_chain.*|nf_conntrack_in|nf_nat_.*|ebt_do_table)$"
        ),
        "nft list ruleset: delete tables that are not needed, or pass the server's port with notrack",
    ),
    Hook(
        "auditing",
        re.compile(r"(__?audit_.*|audit_filter_.*|audit_syscall_.*|audit_reset_context.*)$"),
        "auditctl -l: delete the rules (auditctl -D), or auditctl -e 0 where policy allows it",
    ),
    Hook(
        "packet taps",
        re.compile(r"(t?packet_rcv(_fanout|_spkt)?|dev_queue_xmit_nit|packet_rcv_.*)$"),
        "ss -0pb: stop who listens to all packets, or give it a filter",
    ),
)


def evaluate(context: RunContext) -> Result:
    """Samples below any of the hooks."""
    enough_samples(context)
    need_kernel_frames(context)
    parts = [(hook, context.frames.having(hook.functions.match)) for hook in _HOOKS]
    pct, samples = sum(part.pct for _, part in parts), sum(part.samples for _, part in parts)
    if pct < _LEAST_PCT or samples < _FEWEST_SAMPLES:
        return Pass(CODE, f"{pct:.1f} % of the samples are in netfilter, auditing and packet taps")
    return _finding([(hook, part) for hook, part in sorted(parts, key=lambda one: -one[1].pct) if part.samples], pct)


def _finding(parts: list[tuple[Hook, Part]], pct: float) -> Finding:
    names = [hook.name for hook, _ in parts]
    verb = "take" if len(names) > 1 or names[0].endswith("s") else "takes"
    return Finding(
        CODE,
        Severity.of(pct),
        f"{', '.join(names).capitalize()} {verb} {pct:.1f} % of the server's time.",
        tuple(Evidence(_words(hook, part), part.pct, "%") for hook, part in parts),
        "Every packet or system call passes them, whether or not a rule applies to it.",
        "; ".join(hook.fix for hook, _ in parts) + ".",
        "net/netfilter/core.c; packet(7); auditctl(8)",
        pct,
    )


def _words(hook: Hook, part: Part) -> str:
    frames = ", ".join(f"{name} {share:.1f} %" for name, share in part.frames[:3])
    return f"{hook.name}: {part.pct:.1f} % ({part.samples} samples) below {frames}"
