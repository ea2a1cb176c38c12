"""Counts system calls and switches of a process until it is interrupted, for bench/throughput.py."""

from __future__ import annotations

import sys

from netprobe.engine.options import RecordOptions
from netprobe.engine.recorder import Recorder
from netprobe.probes import switches, syscalls

if __name__ == "__main__":
    options = RecordOptions(pids=(int(sys.argv[1]),), seconds=600)
    recorder = Recorder(options, [syscalls.Probe(), switches.Probe()])
    done = recorder.run(on_attached=lambda seconds: print("Attached", file=sys.stderr, flush=True))
    assert done.counted.intervals
