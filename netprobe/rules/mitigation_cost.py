"""CPU vulnerability mitigations take a share of the server's time.

## Detection

Input: samples that end in code of the mitigations: return and indirect-branch thunks (`__x86_return_thunk`,
`__x86_indirect_thunk_…`, `its_return_thunk`), untraining of the return predictor (`srso_…`, `retbleed_…`,
`entry_untrain_ret`), clearing of branch history and buffers (`clear_bhb_loop`, `entry_ibpb`, `mds_…`, `verw`). With
samples by CPU cycles, kernel entry and exit (`entry_SYSCALL_64…`, `syscall_return_via_sysret`) are added as far as they
exceed the 3 % of a kernel without mitigations. Samples by a timer (cpu-clock) do not cover entry and exit, which run
with interrupts disabled: the share is then a lower bound. A finding is reported from 3 % of the samples and 10 samples
on.

The cost is the share of the samples.

## Why it matters

Each system call, interrupt and indirect call pays for the mitigations, and a network server makes many of them.

In the investigation cited below they took a third of the throughput. The same server on another processor generation
may pay nothing.

## Fix

Make fewer system calls (batching, io_uring). On a machine that runs only trusted code, and if that is your decision to
make, disable single mitigations at boot.

`/sys/devices/system/cpu/vulnerabilities/*` lists the active ones. Boot parameters: `retbleed=off`,
`spec_rstack_overflow=off`, `spectre_v2=off`, `mds=off`, `pti=off`, or `mitigations=off` for all. A newer processor or
microcode has cheaper mitigations (automatic IBRS: `spectre_v2=eibrs`). See also `syscalls-per-request`.

## Source

Documentation/admin-guide/hw-vuln/ and kernel-parameters.txt (`mitigations=`); the investigation “Linux Kernel vs DPDK:
HTTP Performance Showdown”, Speculative Execution Mitigations.
"""

from __future__ import annotations

import re

from netprobe.rules.context import RunContext
from netprobe.rules.costs import require_kernel_frames, require_samples
from netprobe.rules.documentation import parse
from netprobe.rules.finding import Evidence, Finding, Pass, Result, Severity

CODE = "mitigation-cost"
DOCUMENTATION = parse(__doc__)
_MIN_PCT, _MIN_SAMPLES = 3.0, 10
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
    """Samples in code of the mitigations."""
    require_samples(context)
    require_kernel_frames(context)
    thunks = context.frames.ending(_THUNK)
    frames, pct, samples = list(thunks.frames), thunks.pct, thunks.samples
    if context.frames.event == "cycles":
        entry = context.frames.ending(_ENTRY)
        if entry.pct > _ENTRY_WITHOUT_PCT:
            frames += entry.frames
            pct += entry.pct - _ENTRY_WITHOUT_PCT
            samples += entry.samples
    if pct < _MIN_PCT or samples < _MIN_SAMPLES:
        return Pass(CODE, f"{pct:.1f} % of the samples are in mitigations")
    return _finding(context, frames, pct)


def _finding(context: RunContext, frames: list[tuple[str, float]], pct: float) -> Finding:
    evidence = [Evidence(f"{name}: {share:.1f} % of the samples", share, "%") for name, share in frames[:_SHOWN]]
    evidence.append(Evidence(f"boot parameters for mitigations: {_boot_parameters(context)}"))
    if context.frames.event == "cpu-clock":
        evidence.append(Evidence("sampled by a timer, which does not cover kernel entry and exit: a lower bound"))
    return Finding(
        CODE,
        Severity.of(pct),
        f"CPU vulnerability mitigations take {pct:.1f} % of the server's time.",
        tuple(evidence),
        DOCUMENTATION,
        cost_pct=pct,
    )


def _boot_parameters(context: RunContext) -> str:
    parameters = context.run.info.host.boot_parameters
    if parameters is None:
        return "not known"
    chosen = [parameter for parameter in parameters.split() if parameter.startswith(_PARAMETERS)]
    return ", ".join(chosen) or "none, so the kernel chose the mitigations"
