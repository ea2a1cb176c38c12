"""One function takes a large part of the server's time by itself.

## What it sees

Samples of the server's running threads that end in a function or at most two calls below it, in the same mode (program
or kernel), four fifths of them in three functions at most and a fifth in the function itself: a function and its
little helpers. One with less of its own is a loop or a dispatcher, whatever it calls. It is a finding from 30 % of the
samples and 20 samples on, where so few samples leave no doubt that it is a quarter at least; of a function and a
helper that qualify alike, the helper is named. Of a process that polls (`poll-mode`) only the time in functions
themselves counts, since all is close below its loop. Not counted: netprobe's own programs; waiting (epoll, poll, busy
polling, idle), and where epoll is asked without waiting (`epoll-zero-timeout`) the loop that asks; and with samples by
a timer the functions where the kernel lets interrupts in again, since what ran with interrupts off is booked there.

The cost is the share of the samples, less 5 % that a function of a balanced server takes: what could be gained at most.

## Why it matters

A server that is right spends its time in many places, none of which stands out. Where one does, it is seldom the work
itself: a device written to without write combining (53 % of all time in a driver's transmit function), a lock, a copy,
a checksum, a parser, a log.

## How to fix it

Look at what calls it and with what (`netprobe flame`), and whether the work is needed at all, that often, or in that
way. Locks (`native_queued_spin_lock_slowpath`, `futex_wait`): who else takes them. Copies: larger or fewer. A driver:
its settings (write combining, offloads, ring sizes). The program's own function: profile inside it.

## Source

Brendan Gregg, The Flame Graph, ACM Queue 14(2), 2016; the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, DPDK Optimization.
"""

from __future__ import annotations

import re

from netprobe.analysis.confidence import share_at_least
from netprobe.analysis.frames import Heaviest, is_kernel
from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import MissingDataError, RunContext
from netprobe.rules.costs import enough_samples
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "hot-frame"
_LEAST_PCT, _SURELY_PCT, _FEWEST_SAMPLES, _BALANCED_PCT = 30.0, 25.0, 20, 5.0
_HELPERS = 2
_WORTH_NAMING_PCT = 1.0
_FEW, _MOST, _OWN = 3, 0.8, 0.2
_NOBODY = re.compile(r"(?!)").match
_SAME = 0.9
# Interrupts come in again here: a timer's sample of the code before them is booked on these.
_LETS_INTERRUPTS_IN = re.compile(
    r"(_raw_(spin|read|write)_unlock_irq.*|finish_task_switch.*|handle_softirqs|__do_softirq|do_softirq.*|"
    r"__local_bh_enable_ip|do_syscall_64|syscall_enter_from_user_mode.*|syscall_exit_to_user_mode.*|"
    r"entry_SYSCALL_64.*|exit_to_user_mode.*|irqentry_.*|asm_.*|pv_native_safe_halt|default_idle.*|__schedule)$"
).match
_WAITS = re.compile(
    r"(__x64_sys_(epoll_p?wait2?|p?poll|p?select6?)|do_epoll_p?wait2?|ep_poll|do_sys_poll|do_select|napi_busy_loop.*|"
    r"__napi_busy_loop|cpu_startup_entry|do_idle)$"
).match


def evaluate(context: RunContext) -> Result:
    """The heaviest function with its helpers."""
    enough_samples(context)
    ignored = _LETS_INTERRUPTS_IN if context.frames.event == "cpu-clock" else _NOBODY
    # All that a poller does is close below its loop, which takes everything with what it calls.
    heavy = context.frames.heaviest(ignored, _WAITS, 0 if context.pollers else _HELPERS, _WORTH_NAMING_PCT)
    polls = context.frames.callers_in_program(_WAITS) if _spins(context) else set()
    heavy = [one for one in heavy if _is_one_thing(one) and one.frame.name not in polls]
    hot = [one for one in heavy if _is_hot(one, context.frames.samples)]
    if not hot:
        most = f"{heavy[0].frame.name} has most, {heavy[0].pct:.0f} %" if heavy else "no function has a share to name"
        return Pass(CODE, f"no function dominates: {most}")
    return _finding(context, _innermost(hot), heavy)


def _spins(context: RunContext) -> bool:
    """Whether a loop asks without waiting: what it takes is that finding's."""
    try:
        return isinstance(epoll_zero_timeout.evaluate(context), Finding)
    except MissingDataError:
        return False


def _is_hot(one: Heaviest, samples: int) -> bool:
    surely = 100 * share_at_least(one.samples, samples)
    return one.pct >= _LEAST_PCT and surely >= _SURELY_PCT and one.samples >= _FEWEST_SAMPLES


def _is_one_thing(one: Heaviest) -> bool:
    """A function and its helpers, rather than a loop with all that it calls in turn."""
    own = sum(pct for name, pct in one.ends_in if name == one.frame.name)
    return sum(pct for _, pct in one.ends_in[:_FEW]) >= _MOST * one.pct and own >= _OWN * one.pct


def _innermost(hot: list[Heaviest]) -> Heaviest:
    """Of those that take nearly as much as the heaviest, the one that is called by the others."""
    equal = [one for one in hot if one.pct >= _SAME * hot[0].pct]
    callers = {name for one in equal for name in one.callers}
    return next((one for one in equal if one.frame.name not in callers), equal[0])


def _finding(context: RunContext, hot: Heaviest, heavy: list[Heaviest]) -> Finding:
    cost = hot.pct - _BALANCED_PCT
    where = "the kernel" if is_kernel(hot.frame) else hot.frame.module or "the program"
    own = context.frames.own(hot.frame)
    called = " ← ".join(hot.callers) or "nothing that is known"
    return Finding(
        CODE,
        Severity.of(cost),
        f"{hot.frame.name} ({where}) takes {hot.pct:.0f} % of the server's time with what it calls directly.",
        (
            Evidence(
                f"{hot.samples} of {context.frames.samples} samples, {own:.0f} % in the function itself", hot.pct, "%"
            ),
            Evidence(f"called by {called}"),
            Evidence(f"for comparison: {_others(hot, heavy)}"),
        ),
        "A server that is right spends its time in many places, none of which stands out.",
        f"See what calls {hot.frame.name} and how often (netprobe flame): is the work needed at all, and in that way?",
        "Brendan Gregg, The Flame Graph, ACM Queue 14(2), 2016",
        cost,
    )


def _others(hot: Heaviest, heavy: list[Heaviest]) -> str:
    related = {hot.frame.name, *hot.callers}
    others = [one for one in heavy if one.frame.name not in related and hot.frame.name not in one.callers][:2]
    return ", ".join(f"{one.frame.name} {one.pct:.0f} %" for one in others) or "nothing else has a share worth naming"
