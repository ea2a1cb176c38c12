import os
from pathlib import Path

from netprobe.engine.machine import describe_host, read_machine


def test_counters_rise():
    before, after = read_machine(), read_machine()
    assert 0 < before.switches <= after.switches
    assert 0 < before.forks <= after.forks


def test_fields_of_proc_stat(tmp_path):
    (tmp_path / "stat").write_text(
        "cpu  1 2 3 400 50 6 7 80 0 0\ncpu0 1 2 3 9 9 6 7 9 0 0\nctxt 12345\nbtime 1\nprocesses 77\nsoftirq 1 2\n"
    )
    machine = read_machine(str(tmp_path / "stat"))
    assert (machine.switches, machine.forks) == (12345, 77)
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert (machine.idle_ns, machine.steal_ns) == (450 * tick_ns, 80 * tick_ns)


def test_host():
    host = describe_host()
    assert host.memory_kib > 1000
    assert host.cpus_online
    assert host.kernel
    assert host.boot_parameters == Path("/proc/cmdline").read_text().strip()
