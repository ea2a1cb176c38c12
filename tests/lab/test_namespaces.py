import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netprobe.errors import NetprobeError
from netprobe.lab import namespaces
from netprobe.lab.namespaces import LabOptions
from netprobe.lab.server import LabServer, ReactorCounts, ServerOptions

BUSY_POLL = Path("/proc/sys/net/core/busy_poll")
ROOT = Path(__file__).parents[2]

CLIENT = """
import json, socket, sys
address, port, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
reply = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
with socket.create_connection((address, port), timeout=5) as client:
    for _ in range(requests):
        client.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
        assert client.recv(4096) == reply
    print(json.dumps({"napi": client.getsockopt(socket.SOL_SOCKET, 56)}))
"""


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def machine() -> dict[str, object]:
    """State of the machine that the lab must not change."""
    return {
        "namespaces": output("ip", "netns", "list"),
        "links": output("ip", "-o", "link"),
        "sysctls": output("sysctl", "-a", "--pattern", r"^net\.core\.(busy|dev_weight|rps|netdev)"),
        "state": sorted(path.name for path in namespaces.STATE.parent.glob("netprobe-lab*")),
    }


@contextmanager
def python(program: str) -> "Iterator[subprocess.Popen[str]]":
    text = "from netprobe.lab.namespaces import *\nimport time, signal\n" + program
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            yield child
        finally:
            child.kill()


def ask(address: str, port: int, requests: int) -> int:
    """Send requests from the client's namespace, one at a time; the NAPI id of the client's socket."""
    command = ["ip", "netns", "exec", namespaces.CLIENT, sys.executable, "-c", CLIENT]
    answer: dict[str, int] = json.loads(output(*command, address, str(port), str(requests)))
    return answer["napi"]


@pytest.fixture
def clean():
    """Fail instead of removing a lab that the test did not create."""
    assert not namespaces.is_up(), "a lab is up: netprobe lab down"
    before = machine()
    yield before
    namespaces.down()
    assert machine() == before


def test_needs_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1009)
    for call in (namespaces.up, namespaces.down):
        with pytest.raises(NetprobeError, match="root"):
            call()


def test_cpu_mask():
    assert namespaces._cpu_mask([0]) == "00000001"
    assert namespaces._cpu_mask([0, 2, 2, 31]) == "80000005"
    assert namespaces._cpu_mask([1, 37]) == "00000020,00000002"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LabOptions(queues=0), "0 queues"),
        (LabOptions(queues=1009), "1009 queues"),
        (LabOptions(rps_cpus=(65537,)), "65537"),
        (LabOptions(busy_poll_us=-1), "-1"),
    ],
)
def test_wrong_options_change_nothing(options, message, clean):
    with pytest.raises(NetprobeError, match=message):
        namespaces.up(options)
    assert machine() == clean


@pytest.mark.kernel
def test_up_and_down(clean):
    before = int(BUSY_POLL.read_text())
    namespaces.up(LabOptions(busy_poll_us=53))
    assert {namespaces.SERVER, namespaces.CLIENT} <= set(output("ip", "netns", "list").split())
    assert BUSY_POLL.read_text() == "53\n"
    assert namespaces.down() == [
        "removed namespace netprobe-lab-server",
        "removed namespace netprobe-lab-client",
        f"restored net.core.busy_poll to {before}",
    ]
    assert machine() == clean
    assert namespaces.down() == []


@pytest.mark.kernel
def test_second_up_is_refused_and_does_not_change_the_first(clean):
    namespaces.up(LabOptions(busy_poll_us=53))
    with pytest.raises(NetprobeError) as raised:
        namespaces.up(LabOptions(busy_poll_us=59))
    assert "netprobe lab down" in raised.value.hint
    assert namespaces.is_up()
    assert BUSY_POLL.read_text() == "53\n"


@pytest.mark.kernel
def test_link_has_the_specified_options(clean):
    options = LabOptions(queues=3, defer=True, rps_cpus=(0,))
    with namespaces.lab(options) as lab:
        for end in (lab.server, lab.client):
            inside = ["ip", "netns", "exec", end.namespace]
            device = f"/sys/class/net/{end.device}"
            features = output(*inside, "ethtool", "-k", end.device)
            for feature, state in (
                ("generic-receive-offload", "on"),
                ("tcp-segmentation-offload", "off"),
                ("generic-segmentation-offload", "off"),
            ):
                assert f"{feature}: {state}\n" in features
            assert output(*inside, "cat", f"{device}/napi_defer_hard_irqs") == "2\n"
            assert output(*inside, "cat", f"{device}/gro_flush_timeout") == "200000\n"
            assert output(*inside, "ls", f"{device}/queues").split() == [
                *(f"rx-{queue}" for queue in range(3)),
                *(f"tx-{queue}" for queue in range(3)),
            ]
            masks = [int(output(*inside, "cat", f"{device}/queues/rx-{queue}/rps_cpus"), 16) for queue in range(3)]
            assert masks == ([1, 1, 1] if end == lab.server else [0, 0, 0])


@pytest.mark.kernel
def test_interrupts_are_not_deferred_by_default(clean):
    with namespaces.lab() as lab:
        inside = ["ip", "netns", "exec", lab.server.namespace]
        assert output(*inside, "cat", f"/sys/class/net/{lab.server.device}/napi_defer_hard_irqs") == "0\n"


@pytest.mark.kernel
def test_tcp_between_the_namespaces_has_a_napi_id(clean):
    with namespaces.lab() as lab:
        for address in (lab.server.address, lab.server.address6):
            with LabServer(ServerOptions(address=address), namespace=lab.server.namespace) as server:
                napi = ask(address, server.port, 23)
            assert server.counts == {0: ReactorCounts(requests=23, accepted=1)}
            assert napi > os.cpu_count()  # smaller ids are CPUs


def busy_poll_packets(pid: int) -> int:
    names, values = (
        line.split() for line in Path(f"/proc/{pid}/net/netstat").read_text().splitlines() if line.startswith("TcpExt")
    )
    return int(values[names.index("BusyPollRxPackets")])


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("options", "polls"),
    [
        (ServerOptions(), False),
        (ServerOptions(busy_poll_us=200, prefer=True), True),
        (ServerOptions(busy_poll_us=200, prefer=True, epoll_timeout_us=100), True),
        # The finding of the article: with a zero timeout epoll never busy-polls.
        (ServerOptions(busy_poll_us=200, prefer=True, epoll_timeout_us=0), False),
        (ServerOptions(busy_poll_us=200, prefer=True, backend="io_uring"), True),
    ],
    ids=str,
)
def test_busy_polling(options, polls, clean):
    with namespaces.lab(LabOptions(defer=True)) as lab:
        here = ServerOptions(**{**options.__dict__, "address": lab.server.address, "cpus": (0,)})
        with LabServer(here, namespace=lab.server.namespace) as server:
            ask(lab.server.address, server.port, 211)
            packets = busy_poll_packets(server.pid)
    assert server.counts[0].requests == 211
    assert (packets > 0) == polls


@pytest.mark.kernel
def test_down_ends_processes_inside(clean):
    namespaces.up()
    with LabServer(ServerOptions(), namespace=namespaces.SERVER) as server:
        lines = namespaces.down()
        assert lines[0] == f"ended process {server.pid} in netprobe-lab-server"
    assert server.exit_status == 0
    assert machine() == clean


@pytest.mark.kernel
def test_failed_up_removes_everything(clean, monkeypatch):
    monkeypatch.setattr(namespaces, "CLIENT_END", namespaces.End(namespaces.CLIENT, "a-name-of-23-characters", "", ""))
    with pytest.raises(NetprobeError, match=re.escape("ip link add")):
        namespaces.up(LabOptions(busy_poll_us=53))
    assert machine() == clean


@pytest.mark.kernel
def test_change_by_another_program_is_kept(clean):
    before = BUSY_POLL.read_text()
    namespaces.up(LabOptions(busy_poll_us=53))
    BUSY_POLL.write_text("59\n")
    try:
        assert "kept net.core.busy_poll at 59: it was changed while the lab was up" in namespaces.down()
        assert BUSY_POLL.read_text() == "59\n"
    finally:
        BUSY_POLL.write_text(before)


@pytest.mark.kernel
@pytest.mark.parametrize("milliseconds", [0, 5, 11, 17, 23, 31, 43, 59, 83])
def test_down_after_sigkill_during_up(milliseconds, clean):
    with python("print('go', flush=True)\nup(LabOptions(busy_poll_us=53, defer=True))\ntime.sleep(30)") as child:
        assert child.stdout.readline() == "go\n"
        time.sleep(milliseconds / 1000)
        os.killpg(child.pid, signal.SIGKILL)
    time.sleep(0.2)  # a command that it had started ends by itself
    namespaces.down()
    assert machine() == clean
    assert namespaces.down() == []


@pytest.mark.kernel
@pytest.mark.parametrize("milliseconds", [3, 13, 29, 47])
def test_down_after_sigkill_during_down(milliseconds, clean):
    namespaces.up(LabOptions(busy_poll_us=53, defer=True))
    with python("print('go', flush=True)\ndown()") as child:
        assert child.stdout.readline() == "go\n"
        time.sleep(milliseconds / 1000)
        os.killpg(child.pid, signal.SIGKILL)
    time.sleep(0.2)  # a command that it had started ends by itself
    namespaces.down()
    assert machine() == clean


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)], ids=["term", "int"]
)
@pytest.mark.parametrize("milliseconds", [0, 7, 19, 29, 37, 53, 300])
def test_signal_removes_the_lab(number, expected, milliseconds, clean):
    program = "print('go', flush=True)\nwith lab(LabOptions(busy_poll_us=53)):\n    time.sleep(30)"
    with python("signal.signal(2, signal.default_int_handler)\n" + program) as child:
        assert child.stdout.readline() == "go\n"
        time.sleep(0.005 + milliseconds / 1000)  # by then its handlers are set
        for _ in range(3):
            child.send_signal(number)
            time.sleep(0.002)
        assert child.wait(10) == expected
    assert machine() == clean


@pytest.mark.kernel
def test_exception_removes_the_lab(clean):
    with pytest.raises(ZeroDivisionError), namespaces.lab(LabOptions(busy_poll_us=53)):
        raise ZeroDivisionError
    assert machine() == clean


@pytest.mark.kernel
def test_refused_lab_does_not_remove_the_existing_one(clean):
    namespaces.up()
    with pytest.raises(NetprobeError, match="already up"), namespaces.lab():
        pass
    assert namespaces.is_up()


@pytest.mark.kernel
def test_corrupt_state_file_is_an_error_with_a_hint(clean):
    namespaces.STATE.write_text('{"version": 1, "busy_poll": ')
    try:
        with pytest.raises(NetprobeError, match="cannot be read") as raised:
            namespaces.down()
        assert str(namespaces.STATE) in raised.value.hint
    finally:
        namespaces.STATE.unlink()
