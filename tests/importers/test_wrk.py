"""Reports of wrk and derivatives: texts, and wrk compared with the counts of the server."""

import asyncio
import json
import subprocess
import threading

import pytest

from netprobe.run.description import RequestsInfo, info_as_json

WRK2 = """\
Running 30s test @ http://127.0.0.1:80/index.html
  2 threads and 100 connections
  Thread calibration: mean lat.: 9747 usec, rate sampling interval: 21 msec
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.46ms    1.93ms  12.34ms   67.66%
    Req/Sec     1.05k     1.12k    2.50k    64.84%
  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    6.67ms
 99.999%   12.35ms

  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.921     0.000000            1         1.00
       6.671     0.500000        19988         2.00
      12.351     1.000000        40000          inf
#[Mean    =        6.462, StdDeviation   =        1.930]
#[Max     =       12.344, Total count    =        40000]
#[Buckets =           27, SubBuckets     =         2048]
----------------------------------------------------------
  60018 requests in 30.00s, 19.81MB read
  Socket errors: connect 0, read 3, write 0, timeout 17
  Non-2xx or 3xx responses: 5
Requests/sec:   2000.28
Transfer/sec:    676.18KB
"""


def values(report):
    (table,) = report.contents.tables
    return {(what, name): value for what, name, value in table.rows("quantity", "statistic", "value")}


def test_wrk2(report):
    # As in its documentation; Debian has no wrk2.
    found = report(WRK2)
    got = values(found)
    assert found.skipped_lines == 0
    assert found.last_line == WRK2.count("\n")
    assert (found.seconds, found.contents.requests) == (30, 60_018)
    assert got["latency", "avg"] == 6_460_000
    assert (got["latency", "p50"], got["latency", "p99.999"]) == (6_670_000, 12_350_000)
    assert got["latency spectrum", "0.500000"] == 6_671_000
    assert (got["socket errors", "timeout"], got["socket errors", "read"]) == (17, 3)
    assert got["responses", "not 2xx or 3xx"] == 5
    assert got["read", "per second"] == 676.18 * 1024
    assert got["requests per second and thread", "avg"] == 1_050


@pytest.mark.parametrize(
    ("text", "value"), [("1.50s", 1.5e9), ("2.00m", 120e9), ("1.10h", 3_960e9), ("99.00us", 99e3), ("0.00us", 0)]
)
def test_units_of_time(report, text, value):
    assert values(report(f"Running 5s test @ x\n  Latency Distribution\n     50%  {text}\n"))["latency", "p50"] == value


def test_consecutive_reports(reports):
    first, second = reports(WRK2 + WRK2.replace("60018", "7"))
    assert (first.contents.requests, second.contents.requests) == (60_018, 7)


@pytest.mark.parametrize(
    ("whole", "broken"),
    [("6.46ms", "6.4.6ms"), ("50.000%    6.67ms", "50.000%    6.67xs"), ("60018 requests", "6oo18 requests")],
)
def test_malformed_lines(report, whole, broken):
    found = report(WRK2.replace(whole, broken))
    assert found.skipped_lines == 1
    assert values(found)["requests", "per second"] == 2000.28


def test_interrupted(run_of):
    run = run_of("Running 5s test @ http://x/\n  2 threads and 4 connections\n  Latency Distribution\n  50%  1.00ms\n")
    assert run.info.recording.seconds is None
    assert run.info.requests is None


class Server:
    """Answers and counts requests on loopback, in a separate thread."""

    def __init__(self):
        self.served, self.loop, self.ready = 0, asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)

        async def answer(reader, writer):
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    self.served += 1
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = self.loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


@pytest.fixture
def server():
    here = Server()
    yield here
    here.stop()


def test_wrk_agrees_with_the_server(tool, server, run_of):
    # The script prints the exact values after the report.
    script = (
        "done = function(summary, latency)\n"
        '  io.write(string.format("JSON %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50)))\n'
        "end\n"
    )
    command = [tool("wrk"), "-t", "1", "-c", "2", "-d", "1", "--latency", "-s", "/dev/stdin"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    (exact,) = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("JSON")]
    requests, duration_us, median_us = map(int, exact)
    run = run_of(done.stdout)
    assert run.info.requests == RequestsInfo(count=requests, source="wrk")
    assert requests <= server.served <= requests + 2
    assert run.seconds == pytest.approx(duration_us / 1e6, abs=0.005)
    got = {
        (what, name): value for what, name, value in run.tables["load_results"].rows("quantity", "statistic", "value")
    }
    assert got["latency", "p50"] == pytest.approx(median_us * 1000, rel=0.01)
    assert got["requests", "per second"] == pytest.approx(requests / duration_us * 1e6, abs=0.01)
    assert json.dumps(info_as_json(run.info))
