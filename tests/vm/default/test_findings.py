"""One recording of a server whose packets and calls pass hooks, on a processor whose faults the kernel works around."""

import os
import socket
import subprocess
from contextlib import contextmanager

import pytest

from netprobe.rules.finding import Finding

# Real chains are long: each packet passes many rules that are not about it. What the server sends passes them in its
# own stacks; what it receives, where the packet arrives.
OTHERS = " ".join(f"ip daddr 10.98.{number}.0/24 counter drop;" for number in range(100))
RULES = f"table ip t {{ chain c {{ type filter hook output priority 0; {OTHERS} counter accept; }}; }}"
AUDITED = ["-a", "always,exit", "-F", "arch=b64", "-S", "sendto,recvfrom", "-F", "auid=4711", "-k", "netprobe-test"]


@contextmanager
def tap(namespace, wait_for):
    """A process that listens to all packets of a namespace."""
    import ctypes

    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.setns(os.open(f"/run/netns/{namespace}", os.O_RDONLY), 0x40000000)
        listening = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        os.write(writer, b"r")
        while listening.recv(65536):
            pass
        os._exit(0)
    try:
        assert os.read(reader, 1) == b"r"
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


@pytest.fixture
def hooked(wait_for):
    from contextlib import ExitStack

    with ExitStack() as stack:

        def prepare(end):
            subprocess.run(["ip", "netns", "exec", end.namespace, "nft", RULES], check=True)
            subprocess.run(["auditctl", "-e", "1"], check=True)
            subprocess.run(["auditctl", *AUDITED], check=True)
            stack.enter_context(tap(end.namespace, wait_for))

        yield prepare
        subprocess.run(["auditctl", "-D"], check=True)
        subprocess.run(["auditctl", "-e", "0"], check=True)


def test_hooks_and_mitigations(record_served, hooked, evaluated, holds):
    run = record_served(hooked)
    hooks, mitigations = evaluated(run, "kernel-hooks"), evaluated(run, "mitigation-cost")
    assert isinstance(hooks, Finding), hooks
    seen = " | ".join(evidence.text for evidence in hooks.evidence)
    for kind in ("netfilter: ", "auditing: ", "packet taps: "):
        assert kind in seen
    holds("kernel-hooks", "samples by cpu-clock", f"netfilter, an audit rule and a packet socket: {hooks.summary}")
    assert isinstance(mitigations, Finding), mitigations
    assert "boot parameters for mitigations: none" in " | ".join(evidence.text for evidence in mitigations.evidence)
    holds("mitigation-cost", "samples by cpu-clock", f"default boot: {mitigations.summary}")
