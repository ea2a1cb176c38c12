"""`netprobe lab`: up, down and server, as users run them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netprobe.lab import namespaces

BUSY_POLL = Path("/proc/sys/net/core/busy_poll")
COMMAND = Path(sys.executable).with_name("netprobe")


@pytest.fixture
def clean():
    assert not namespaces.is_up(), "a lab is up: netprobe lab down"
    before = BUSY_POLL.read_text()
    yield
    namespaces.down()
    assert BUSY_POLL.read_text() == before


@pytest.mark.kernel
def test_up_and_down(netprobe, clean):
    up = netprobe("lab", "up", "--queues", "3", "--defer", "--busy-poll", "57", "--rps", "0")
    assert up.status == 0, up.err
    assert "server: namespace netprobe-lab-server, device veth-server, 10.99.0.1, fd99::1" in up.out.splitlines()
    assert "client: namespace netprobe-lab-client, device veth-client, 10.99.0.2, fd99::2" in up.out.splitlines()
    assert "netprobe lab down" in up.err
    assert BUSY_POLL.read_text() == "57\n"
    devices = subprocess.run(
        ["ip", "-n", namespaces.SERVER, "-d", "-j", "link", "show", "veth-server"], capture_output=True, check=True
    ).stdout
    assert json.loads(devices)[0]["num_tx_queues"] == 3
    down = netprobe("lab", "down")
    assert down.status == 0
    assert "removed namespace netprobe-lab-server" in down.out
    assert "restored net.core.busy_poll to 0" in down.out
    assert not namespaces.is_up()


@pytest.mark.kernel
def test_up_twice_is_refused(netprobe, clean):
    assert netprobe("lab", "up").status == 0
    message = netprobe("lab", "up", "--busy-poll", "59").refused()
    assert "already up" in message
    assert "netprobe lab down" in message
    assert namespaces.is_up()
    assert BUSY_POLL.read_text() != "59\n"


@pytest.mark.kernel
def test_down_twice(netprobe, clean):
    assert netprobe("lab", "up").status == 0
    assert netprobe("lab", "down").status == 0
    again = netprobe("lab", "down")
    assert again.status == 0
    assert again.out == "There was nothing to remove.\n"


@pytest.mark.kernel
def test_one_queue_per_cpu_by_default(netprobe, clean):
    assert netprobe("lab", "up").status == 0
    shown = subprocess.run(
        ["ip", "-n", namespaces.SERVER, "-d", "-j", "link", "show", "veth-server"], capture_output=True, check=True
    ).stdout
    assert json.loads(shown)[0]["num_rx_queues"] == os.cpu_count()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rps", "0,x"], "not a list of CPUs"),
        (["--rps", "4097"], "4097"),
        (["--rps", "3-1"], "3-1"),
        (["--rps", "-1"], "-1"),
        (["--queues", "0"], "queues"),
        (["--queues", "65"], "queues"),
        (["--busy-poll", "-1"], "busy-poll"),
        (["surprise"], "surprise"),
    ],
)
@pytest.mark.kernel
def test_wrong_options_of_up(netprobe, clean, arguments, words):
    assert words in netprobe("lab", "up", *arguments).refused()
    assert not namespaces.is_up()


@pytest.mark.kernel
def test_needs_root(clean):
    # Runs as the user nobody.
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", COMMAND, "lab", "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "netprobe" not in done.stderr:
        pytest.skip(f"nobody may not run this checkout: {done.stderr.strip()[-200:]}")
    assert done.returncode == 2
    assert "root" in done.stderr
    assert "Traceback" not in done.stderr


def test_server(netprobe):
    """The command execs the server: the started PID serves, and a signal ends it."""
    with subprocess.Popen(
        [COMMAND, "lab", "server", "--threads=2", "--steer=cbpf"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        ready = server.stdout.readline().decode()
        try:
            assert f"pid={server.pid}" in ready
            assert Path(f"/proc/{server.pid}/comm").read_text() == "lab-server\n"
            names = {(task / "comm").read_text().strip() for task in Path(f"/proc/{server.pid}/task").iterdir()}
            assert {"reactor-0", "reactor-1"} <= names
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(5) == 0


def test_help_and_errors_of_the_server_are_passed_on(netprobe):
    shown = netprobe("lab", "server", "--help")
    assert shown.status == 0
    assert "--listen-order" in shown.out
    wrong = netprobe("lab", "server", "--no-such-flag")
    assert wrong.status != 0
    assert "no-such-flag" in wrong.err
    assert "Traceback" not in wrong.err


def test_help(netprobe):
    shown = netprobe("lab", "--help")
    assert shown.status == 0
    for word in ("up", "down", "server"):
        assert f"\n  {word} " in shown.out
