"""Rounds of load on real servers."""

import socket
import subprocess

import pytest

from netprobe.errors import NetprobeError
from netprobe.lab.server import LabServer, ServerOptions
from netprobe.load.generator import Load, read_results, run_round, write_order


@pytest.mark.parametrize(
    "options", [{"backend": "io_uring"}, {"processes": 2}, {"flush": "batched", "receive": "read"}]
)
def test_round_counts_the_requests_that_the_server_served(options):
    """The server may also have served requests whose response wrk did not wait for."""
    generators = ("0", "")
    with LabServer(ServerOptions(**options)) as server:
        one = run_round(Load(f"http://127.0.0.1:{server.port}/", 1, generators, connections=4))
    served = sum(counts.requests for counts in server.counts.values())
    assert one.requests <= served <= one.requests + 4 * len(generators)
    assert one.errors == 0
    assert one.seconds > 0.9
    assert one.percentile(50) <= one.percentile(99) <= one.percentile(99.99)


def test_order_is_run_by_another_process(tmp_path):
    order = tmp_path / "order.json"
    with LabServer(ServerOptions()) as server:
        command = write_order(order, Load(f"http://127.0.0.1:{server.port}/", connections=2), 2)
        with pytest.raises(NetprobeError, match="did not finish"):
            read_results(order)
        subprocess.run(command, check=True, timeout=30)
    results = read_results(order)
    assert len(results) == 2
    assert sum(one.requests for one in results) <= sum(counts.requests for counts in server.counts.values())
    assert results[0].started < results[1].started


def test_reason_of_a_failed_order_is_read_back(tmp_path):
    order = tmp_path / "order.json"
    assert subprocess.run(write_order(order, Load("http://127.0.0.1:1/"), 1), check=False, timeout=30).returncode == 1
    with pytest.raises(NetprobeError, match="wrk failed"):
        read_results(order)


def test_server_that_answers_nothing_is_an_error():
    """wrk itself exits with status 0 without any answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NetprobeError, match="answered no request"):
        run_round(Load(f"http://127.0.0.1:{silent.getsockname()[1]}/", connections=1))
