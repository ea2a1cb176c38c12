"""Packets and system calls pass through firewall rules, auditing or packet taps.

## Detection

Input: samples in or below hooks of the kernel: netfilter (`nf_hook_slow`, `nft_do_chain`, `ipt_do_table`,
`nf_conntrack_in`), auditing of system calls (`audit_filter_syscall`, `__audit_syscall_entry`), and packet sockets that
copy each packet (`packet_rcv`, `tpacket_rcv`, `dev_queue_xmit_nit`). The entry path of traced system calls
(`syscall_trace_enter`) counts only with auditing below it: otherwise netprobe itself causes it. A finding is reported
from 1 % of the samples and 5 samples on, for all hooks together.

The cost is the share of the samples.

## Why it matters

Every packet or system call passes the hooks, whether or not a rule applies to it.

A stack with kernel bypass has none of them, which is a good part of its advantage.

## Fix

Remove the rules, audit rules and packet sockets that are not needed, or exempt the server's traffic.

Netfilter: `nft list ruleset` and `iptables -S` list the rules. Empty chains cost as well, so delete unused tables;
exempt the server's port before connection tracking (`… raw prerouting tcp dport 80 notrack`), or use a stateless filter
or XDP. Auditing: `auditctl -l` lists the rules; `auditctl -D; auditctl -e 0`, or `-a never,task` where policy permits
it. Packet taps: `ss -0pb` (or `/proc/net/packet`) lists the sockets: a DHCP client, tcpdump, lldpd, an agent. Stop the
process, or set a filter.

## Source

`nf_hook_slow()` in net/netfilter/core.c, `dev_queue_xmit_nit()` in net/core/dev.c, packet(7), auditctl(8); the
investigation “Linux Kernel vs DPDK: HTTP Performance Showdown”, In Defense of the Kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from netprobe.analysis.frame_shares import FrameShare
from netprobe.rules.context import RunContext
from netprobe.rules.costs import require_kernel_frames, require_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "kernel-hooks"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_SAMPLES = 1.0, 5


@dataclass(frozen=True)
class Hook:
    """A kind of hook: its functions, and the command that lists its users."""

    name: str
    functions: re.Pattern[str]
    lister: str


_HOOKS = (
    Hook(
        "netfilter",
        re.compile(
            r"(nf_hook_slow(_list)?|nf_hook|ip6?t_do_table|nft_do_chain.*|nf_conntrack_in|nf_nat_.*|ebt_do_table)$"
        ),
        "nft list ruleset",
    ),
    Hook(
        "auditing",
        re.compile(r"(__?audit_.*|audit_filter_.*|audit_syscall_.*|audit_reset_context.*)$"),
        "auditctl -l",
    ),
    Hook(
        "packet taps",
        re.compile(r"(t?packet_rcv(_fanout|_spkt)?|dev_queue_xmit_nit|packet_rcv_.*)$"),
        "ss -0pb",
    ),
)


def evaluate(context: RunContext) -> Result:
    """Samples below any of the hooks."""
    require_samples(context)
    require_kernel_frames(context)
    shares = [(hook, context.frames.having(hook.functions.match)) for hook in _HOOKS]
    pct, samples = sum(share.pct for _, share in shares), sum(share.samples for _, share in shares)
    if pct < _MIN_PCT or samples < _MIN_SAMPLES:
        return Pass(CODE, f"{pct:.1f} % of the samples are in netfilter, auditing and packet taps")
    shares.sort(key=lambda hook_share: -hook_share[1].pct)
    return _finding([(hook, share) for hook, share in shares if share.samples], pct)


def _finding(shares: list[tuple[Hook, FrameShare]], pct: float) -> Finding:
    names = [hook.name for hook, _ in shares]
    verb = "take" if len(names) > 1 or names[0].endswith("s") else "takes"
    return Finding(
        CODE,
        Severity.of(pct),
        f"{', '.join(names).capitalize()} {verb} {pct:.1f} % of the server's time.",
        tuple(Evidence(_share_text(hook, share), share.pct, "%") for hook, share in shares),
        DOCUMENTATION,
        cost_pct=pct,
        specific_fix=" ".join(f"List the {hook.name}: {hook.lister}." for hook, _ in shares),
    )


def _share_text(hook: Hook, share: FrameShare) -> str:
    frames = ", ".join(f"{name} {pct:.1f} %" for name, pct in share.frames[:3])
    return f"{hook.name}: {share.pct:.1f} % ({share.samples} samples) below {frames}"
