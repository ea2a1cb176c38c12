"""What the compiler or the kernel refused, as an error for the user."""

from __future__ import annotations

import re

from netprobe.errors import NetprobeError, NotPossibleHereError

# Message of the verifier about a helper that lockdown disables (LOCKDOWN_BPF_READ_KERNEL, kernel/trace/bpf_trace.c).
_LOCKED_DOWN = re.compile(r"(unknown func|cannot use helper) bpf_probe_read")


def explain(error: object, step: str, messages: str) -> NetprobeError:
    """The error for a step that failed. `messages`: those of the compiler or of the verifier."""
    if _LOCKED_DOWN.search(messages):
        return NotPossibleHereError(
            "The kernel is locked down for confidentiality: BPF programs may not read its memory, which holds the list "
            "of threads and sockets.",
            hint="Boot without lockdown=confidentiality; lockdown=integrity is supported.",
        )
    text = f"netprobe could not {step}: {error}"
    if messages.strip():
        text += f"\nMessages of the compiler and the kernel:\n{messages.strip()}"
    if "super-user" in str(error) or "Operation not permitted" in f"{error} {messages}":
        return NotPossibleHereError(
            text,
            hint="Run as root. If you are root, the kernel is locked down or a container withholds CAP_BPF.",
        )
    return NetprobeError(text, hint="Please report this with the output of `uname -r`.")
