"""Conditions that make measurements vary, as pyperf and the kernel report them."""

import subprocess

import pytest

from netprobe.load import steadiness
from netprobe.load.steadiness import CpuTimes, advice, load_per_cpu

SHOWN = """Show the system configuration

System state
============

CPU: use 2 logical CPUs: 0-1

Advices
=======

Perf event: Set max sample rate to 1
Linux scheduler: Use isolcpus=<cpu list> kernel parameter to isolate CPUs
CPU scaling governor (intel_pstate): Use CPU scaling governor 'performance'

Warnings
========

Turbo Boost (MSR): Failed to read MSR

Run "python -m pyperf system tune" to tune the system configuration to run benchmarks
"""


@pytest.fixture
def pyperf_prints(monkeypatch):
    def put(text):
        monkeypatch.setattr(
            steadiness.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=text)
        )

    return put


def test_advice_for_other_tools_is_skipped(pyperf_prints):
    pyperf_prints(SHOWN)
    assert advice() == [
        "Linux scheduler: Use isolcpus=<cpu list> kernel parameter to isolate CPUs",
        "CPU scaling governor (intel_pstate): Use CPU scaling governor 'performance'",
    ]


@pytest.mark.parametrize("text", ["", "OK! System ready for benchmarking\n", "Advices\n=======\n"])
def test_no_advice(pyperf_prints, text):
    pyperf_prints(text)
    assert advice() == []


def test_line_after_the_last_section_is_skipped(pyperf_prints):
    pyperf_prints('Advices\n=======\n\nOne: thing\n\nRun "python -m pyperf system tune" to tune\n')
    assert advice() == ["One: thing"]


def test_this_machine():
    """Runs pyperf."""
    assert all(": " in line for line in advice())
    assert load_per_cpu() >= 0
    assert CpuTimes.now().total > 0


def test_stolen_time():
    assert CpuTimes(1000, 10).stolen_pct(CpuTimes(1200, 30)) == 10
    assert CpuTimes(1000, 10).stolen_pct(CpuTimes(1000, 10)) == 0
