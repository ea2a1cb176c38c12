"""Booted with mitigations=off and lockdown=integrity; the last test locks down further, which cannot be undone."""

from pathlib import Path

import pytest

from netprobe.rules.finding import Pass

LOCKDOWN = Path("/sys/kernel/security/lockdown")


def test_boot_parameters():
    parameters = Path("/proc/cmdline").read_text().split()
    assert {"mitigations=off", "lockdown=integrity"} <= set(parameters)
    assert "[integrity]" in LOCKDOWN.read_text()


def test_neither_mitigations_nor_hooks(record_served, evaluated, holds):
    run = record_served()
    mitigations, hooks = evaluated(run, "mitigation-cost"), evaluated(run, "kernel-hooks")
    assert isinstance(mitigations, Pass), mitigations
    holds("mitigation-cost", "samples by cpu-clock", f"mitigations=off: {mitigations.reason}")
    assert isinstance(hooks, Pass), hooks
    holds("kernel-hooks", "samples by cpu-clock", f"without hooks: {hooks.reason}")


@pytest.mark.parametrize("mechanism", ["fentry", "kprobe"])
def test_lockdown_integrity_allows_all_attach_mechanisms(recording, serve, mechanism, holds):
    server = serve(threads=2, cpus=(0, 1), steer="cbpf")
    document = recording("locality", "-p", server.pid, "-d", "0.5", "--json", mechanism=mechanism).finish().json()
    assert document["attach_mechanisms"]["order in which listeners join"] == mechanism
    assert document["groups"][0]["size"] == 2
    holds("lockdown=integrity", mechanism, "attaches as without lockdown")


def test_confidentiality(recording, holds):
    """The kernel refuses programs that read its memory, which the message explains."""
    LOCKDOWN.write_text("confidentiality")
    said = recording("syscalls", "-d", "0.5", attached=False).finish().refused()
    assert "locked down for confidentiality" in said
    holds("lockdown=confidentiality", "-", "refused, with the reason")
