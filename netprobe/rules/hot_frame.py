"""One function takes a large share of the server's time.

## Detection

Input: samples of the server's running threads that end in a function, or at most two calls below it in the same mode
(user or kernel). Four fifths of these samples must end in three functions at most, and the self share of the function
must be at least a fifth of them: then it is a function with helpers. A smaller self share is typical of a loop or
dispatcher. A finding is reported from 30 % of the samples and 20 samples on, if the lower confidence bound of the share
is at least 25 %. If a function and one of its helpers both qualify, the helper is reported. For a process in
`poll-mode` only self time counts, since all functions are close below its loop.

Not counted: code without symbols (a whole module would look like one function); the loop of an interpreter, which runs
all of a script; BPF programs of netprobe; waiting (epoll, poll, busy polling, idle); with `epoll-zero-timeout`, the
loop that polls epoll; and, with timer samples, functions that enable interrupts, because samples taken while interrupts
are disabled are attributed to them.

The cost is the share of the samples minus 5 %, the share of such a function in a balanced server: an upper limit of the
possible gain.

## Why it matters

A balanced server spends its time in many functions, none of which dominates.

A dominant function is seldom the actual work: typical causes are a device that is written without write combining (53 %
of all time in a driver's transmit function), a lock, a copy, a checksum, a parser or a log.

## Fix

Look at the callers and their rate (`netprobe flame`), and check whether the work is needed at all, that often, or in
that form.

Locks (`native_queued_spin_lock_slowpath`, `futex_wait`): find the other holders. Copies: copy larger or fewer blocks. A
driver: check its settings (write combining, offloads, ring sizes). A function of the program: profile inside it.

## Source

Brendan Gregg, The Flame Graph, ACM Queue 14(2), 2016; the investigation “Linux Kernel vs DPDK: HTTP Performance
Showdown”, DPDK Optimization.
"""

from __future__ import annotations

import re

from flamegraph.frames import Kind
from netprobe.analysis.confidence import share_at_least
from netprobe.analysis.frame_shares import HeavyFunction, is_kernel
from netprobe.rules import epoll_zero_timeout
from netprobe.rules.context import RunContext
from netprobe.rules.costs import require_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "hot-frame"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_BOUND_PCT, _MIN_SAMPLES, _BALANCED_PCT = 30.0, 25.0, 20, 5.0
_HELPER_CALLS = 2
_MIN_SHOWN_PCT = 1.0
_HELPERS, _HELPERS_SHARE, _MIN_SELF_SHARE = 3, 0.8, 0.2
_NO_FUNCTION = re.compile(r"(?!)").match
_NEARLY_EQUAL = 0.9
# Interrupts are enabled here: a timer's samples of the code before are attributed to these functions.
_ENABLES_INTERRUPTS = re.compile(
    r"(_raw_(spin|read|write)_unlock_irq.*|finish_task_switch.*|handle_softirqs|__do_softirq|do_softirq.*|"
    r"__local_bh_enable_ip|do_syscall_64|syscall_enter_from_user_mode.*|syscall_exit_to_user_mode.*|"
    r"entry_SYSCALL_64.*|exit_to_user_mode.*|irqentry_.*|asm_.*|pv_native_safe_halt|default_idle.*|__schedule)$"
).match
# The loops of CPython, PHP, Ruby, Lua, Perl, V8 and the JVM: their time is that of the program that they interpret.
_INTERPRETER = re.compile(
    r"(_PyEval_\w+|PyEval_\w+|execute_ex|vm_exec\w*|rb_vm_exec|luaV_execute|Perl_runops_\w+|Builtins_\w+|Interpreter)$"
).match
_WAITS = re.compile(
    r"(__x64_sys_(epoll_p?wait2?|p?poll|p?select6?)|do_epoll_p?wait2?|ep_poll|do_sys_poll|do_select|napi_busy_loop.*|"
    r"__napi_busy_loop|cpu_startup_entry|do_idle)$"
).match


def evaluate(context: RunContext) -> Result:
    """The heaviest function with its helpers."""
    require_samples(context)
    ignored = _ENABLES_INTERRUPTS if context.frames.event == "cpu-clock" else _NO_FUNCTION
    # All functions of a poller are close below its loop, so the loop would always qualify.
    heavy = context.frames.heaviest(ignored, _WAITS, 0 if context.pollers else _HELPER_CALLS, _MIN_SHOWN_PCT)
    # The time of a loop that polls epoll with a zero timeout belongs to the finding epoll-zero-timeout.
    loops = context.frames.user_callers(_WAITS) if context.cause(epoll_zero_timeout) else set()
    heavy = [
        function
        for function in heavy
        if _has_few_helpers(function) and function.frame.name not in loops and not _is_no_function(function)
    ]
    hot = [function for function in heavy if _is_hot(function, context.frames.samples)]
    if not hot:
        largest = f"{heavy[0].frame.name} takes {heavy[0].pct:.0f} %" if heavy else "all shares are small"
        return Pass(CODE, f"no function dominates: {largest}")
    return _finding(context, _innermost(hot), heavy)


def _is_no_function(function: HeavyFunction) -> bool:
    """Whether the frame stands for much code: a module without symbols, or a script."""
    frame = function.frame
    return frame.kind is Kind.UNKNOWN or (frame.kind is Kind.USER and bool(_INTERPRETER(frame.name)))


def _is_hot(function: HeavyFunction, samples: int) -> bool:
    bound_pct = 100 * share_at_least(function.samples, samples)
    return function.pct >= _MIN_PCT and bound_pct >= _MIN_BOUND_PCT and function.samples >= _MIN_SAMPLES


def _has_few_helpers(function: HeavyFunction) -> bool:
    """Whether it is a function with helpers, not a loop with all functions that it calls in turn."""
    self_pct = sum(pct for name, pct in function.ends_in if name == function.frame.name)
    helpers_pct = sum(pct for _, pct in function.ends_in[:_HELPERS])
    return helpers_pct >= _HELPERS_SHARE * function.pct and self_pct >= _MIN_SELF_SHARE * function.pct


def _innermost(hot: list[HeavyFunction]) -> HeavyFunction:
    """Of the functions that are nearly as heavy as the heaviest, the one that the others call."""
    equal = [function for function in hot if function.pct >= _NEARLY_EQUAL * hot[0].pct]
    callers = {name for function in equal for name in function.callers}
    return next((function for function in equal if function.frame.name not in callers), equal[0])


def _finding(context: RunContext, hot: HeavyFunction, heavy: list[HeavyFunction]) -> Finding:
    cost = hot.pct - _BALANCED_PCT
    location = "the kernel" if is_kernel(hot.frame) else hot.frame.module or "the program"
    self_pct = context.frames.self_pct(hot.frame)
    return Finding(
        CODE,
        Severity.of(cost),
        f"{hot.frame.name} ({location}) takes {hot.pct:.0f} % of the server's time, including its direct callees.",
        (
            Evidence(f"{hot.samples} of {context.frames.samples} samples, {self_pct:.0f} % self", hot.pct, "%"),
            Evidence(f"called from {' ← '.join(hot.callers) or 'an unknown function'}"),
            Evidence(f"for comparison: {_others(hot, heavy)}"),
        ),
        DOCUMENTATION,
        cost_pct=cost,
    )


def _others(hot: HeavyFunction, heavy: list[HeavyFunction]) -> str:
    related = {hot.frame.name, *hot.callers}
    others = [
        function
        for function in heavy
        if function.frame.name not in related and hot.frame.name not in function.callers
    ]  # fmt: skip
    return ", ".join(f"{function.frame.name} {function.pct:.0f} %" for function in others[:2]) or "no other function"
