"""Empty programs where netprobe has its own, and no more: what the kernel takes for calling any program.

python bench/empty_programs.py [EVENT …]    until it is interrupted; without events, those of `netprobe record`
"""

from __future__ import annotations

import sys
import time

from netprobe.engine.bcc_module import import_bcc

# The events that a busy server has by the hundred thousand.
_EVENTS = ("sys_enter", "sched_switch", "napi_poll", "tcp_rcv_space_adjust", "net_dev_start_xmit")

if __name__ == "__main__":
    source = "\n".join(f"RAW_TRACEPOINT_PROBE({event}) {{ return 0; }}" for event in sys.argv[1:] or _EVENTS)
    bpf = import_bcc().BPF(text=source)
    print("Attached", file=sys.stderr, flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        bpf.cleanup()
