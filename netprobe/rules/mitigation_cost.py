"""Workarounds for processor faults take a part of the server's time.

## What it sees

Samples that end in the code of the mitigations: return and indirect-branch thunks (`__x86_return_thunk`,
`__x86_indirect_thunk_…`, `its_return_thunk`), untraining of the return predictor (`srso_…`, `retbleed_…`,
`entry_untrain_ret`), clearing of branch history and buffers (`clear_bhb_loop`, `entry_ibpb`, `mds_…`, `verw`). With
samples by CPU cycles also the kernel's entry and exit (`entry_SYSCALL_64…`, `syscall_return_via_sysret`), as far as
they take more than the 3 % of a kernel without mitigations. Samples by a timer (cpu-clock) cannot see entry and exit,
which run with interrupts off: the share is then a lower bound. It is a finding from 3 % of the samples and 10 samples
on.

The cost is the share of the samples.

## Why it matters

They cost with each system call, each interrupt and each indirect call, and a network server makes these all the time:
in the investigation a third of its throughput. The same server on another processor generation may pay nothing.

## How to fix it

`/sys/devices/system/cpu/vulnerabilities/*` says which are on. First make fewer crossings: `syscalls-per-request`,
io_uring, larger batches. On a machine that runs nobody else's code, and where that is your decision to take, single
ones can be switched off at boot: `retbleed=off`, `spec_rstack_overflow=off`, `spectre_v2=off`, `mds=off`, `pti=off`, or
`mitigations=off` for all. A newer processor or microcode has cheaper ones (automatic IBRS: `spectre_v2=eibrs`).

## Source

Documentation/admin-guide/hw-vuln/ and kernel-parameters.txt (`mitigations=`); the investigation “Linux Kernel vs DPDK:
HTTP Performance Showdown”, Speculative Execution Mitigations.
"""

from __future__ import annotations

import re

from netprobe.rules.context import RunContext
from netprobe.rules.costs import enough_samples, need_kernel_frames
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "mitigation-cost"
_LEAST_PCT, _FEWEST_SAMPLES = 3.0, 10
_ENTRY_WITHOUT_PCT = 3.0
_SHOWN = 6
_PARAMETERS = (
    "mitigations", "retbleed", "spec_", "spectre_", "nospectre_", "mds", "mmio_", "tsx_", "l1tf", "pti", "nopti",
    "indirect_target", "reg_file_", "gather_", "vmscape", "tsa",
)  # fmt: skip
_THUNK = re.compile(
    r"(__x86_return_thunk|__x86_indirect_(call_|jump_)?thunk.*|its_return_thunk|__x86_indirect_its_thunk.*|"
    r"(srso|retbleed|zen|entry)_(alias_)?(safe_ret|untrain_ret|return_thunk).*|srso_.*|retbleed_.*|clear_bhb_loop.*|"
    r"entry_ibpb|write_ibpb|indirect_branch_prediction_barrier|mds_.*clear.*|x86_clear_cpu_buffers|mmio_.*clear.*|"
    r"__fill_return_buffer|sync_core_before_usermode|__warn_thunk|call_depth_return_thunk)$"
).match
_ENTRY = re.compile(
    r"(entry_SYSCALL_64(_after_hwframe|_safe_stack)?|syscall_return_via_sysret|entry_SYSRETQ.*|"
    r"swapgs_restore_regs_and_return_to_usermode|common_interrupt_return|asm_exc_.*|asm_sysvec_.*|asm_common_interrupt)$"
).match


def evaluate(context: RunContext) -> Result:
    """Samples in the mitigations' code."""
    enough_samples(context)
    need_kernel_frames(context)
    thunks = context.frames.ending(_THUNK)
    seen, pct, samples = list(thunks.frames), thunks.pct, thunks.samples
    if context.frames.event == "cycles":
        entry = context.frames.ending(_ENTRY)
        if entry.pct > _ENTRY_WITHOUT_PCT:
            seen, pct, samples = [*seen, *entry.frames], pct + entry.pct - _ENTRY_WITHOUT_PCT, samples + entry.samples
    if pct < _LEAST_PCT or samples < _FEWEST_SAMPLES:
        return Pass(CODE, f"{pct:.1f} % of the samples are in their code")
    return _finding(context, seen, pct)


def _finding(context: RunContext, seen: list[tuple[str, float]], pct: float) -> Finding:
    parameters = context.run.info.host.boot_parameters
    boot = [word for word in (parameters or "").split() if _is_about_them(word)]
    evidence = [Evidence(f"{name}: {share:.1f} % of the samples", share, "%") for name, share in seen[:_SHOWN]]
    said = "not known" if parameters is None else ", ".join(boot) or "none, so what the kernel thinks needed"
    evidence.append(Evidence(f"boot parameters about them: {said}"))
    if context.frames.event == "cpu-clock":
        evidence.append(Evidence("sampled by a timer, which does not see the kernel's entry and exit: a lower bound"))
    return Finding(
        CODE,
        Severity.of(pct),
        f"Mitigations of processor faults take {pct:.1f} % of the server's time.",
        tuple(evidence),
        "Each system call, interrupt and indirect call pays for them, and a network server makes these all the time.",
        "Make fewer system calls (batches, io_uring). Where nobody else's code runs on the machine and you may decide "
        "so: see /sys/devices/system/cpu/vulnerabilities/ and boot with the single ones off, or mitigations=off.",
        "Documentation/admin-guide/hw-vuln/; kernel-parameters.txt, mitigations=",
        pct,
    )


def _is_about_them(word: str) -> bool:
    return word.startswith(_PARAMETERS)
