"""The article's four reactors on four CPUs: threads on CPUs 0, 2, 1, 3 behind a program that returns the CPU."""

from collections import Counter
from typing import Any

import pytest

REQUESTS = {0: 23, 1: 29, 2: 31, 3: 37}
FOUR: dict[str, Any] = {"threads": 4, "cpus": (0, 1, 2, 3), "steer": "cbpf"}
WRONG = (0, 2, 1, 3)


def matrix(document):
    cells: Counter[tuple[int, int]] = Counter()
    for row in document["messages"]:
        cells[row["rx_cpu"], row["cpu"]] += row["messages"]
    return dict(cells)


def members(document):
    """(index, thread that serves, verdict) of the only group."""
    (group,) = document["groups"]
    return [(one["index"], one["served_by"][0]["thread"], one["verdict"]) for one in group["members"]]


@pytest.mark.parametrize("mechanism", ["fentry", "kprobe", "tracepoint"])
def test_the_wrong_order_with_each_attach_mechanism(recording, ask, wait_for, mechanism, holds):
    """netprobe starts the server: the forced mechanism records the order in which threads join."""
    from netprobe.lab.nginx import free_port
    from netprobe.lab.server import ServerOptions, build

    options = ServerOptions(**FOUR, listen_order=WRONG, port=free_port())
    session = recording("locality", "-d", 3600, "--json", "--", build(), *options.argv(), mechanism=mechanism)
    # It listens before the steering is attached, and says when it is.
    wait_for(lambda: f"ready port={options.port}" in session.errors(), "the server")
    for cpu, count in REQUESTS.items():
        ask(cpu, "127.0.0.1", options.port, count)
    document = session.stop().json()
    assert document["attach_mechanisms"]["order in which listeners join"] == mechanism
    assert [one["joined_by"] for one in document["groups"][0]["members"]] == [f"reactor-{cpu}" for cpu in WRONG]
    assert members(document) == [
        (0, "reactor-0", "right"), (1, "reactor-2", "wrong"), (2, "reactor-1", "wrong"), (3, "reactor-3", "right"),
    ]  # fmt: skip
    assert matrix(document) == {(0, 0): 23, (1, 2): 29, (2, 1): 31, (3, 3): 37}
    assert document["verdict"]["kind"] == "broken"
    assert document["dropped"] == []
    holds("order in which listeners join", mechanism, "threads on CPUs 0, 2, 1, 3 by name, index 1 and 2 wrong")
    holds("messages by receiving and reading CPU", "BTF tracepoint", "23, 29, 31 and 37 messages, each in its cell")


def test_the_right_order_on_a_running_server(recording, ask, serve, holds):
    server = serve(**FOUR)
    session = recording("locality", "-p", server.pid, "-d", 3600, "--json")
    for cpu, count in REQUESTS.items():
        ask(cpu, server.address, server.port, count)
    document = session.stop().json()
    assert members(document) == [(cpu, f"reactor-{cpu}", "right") for cpu in range(4)]
    assert matrix(document) == {(cpu, cpu): count for cpu, count in REQUESTS.items()}
    assert document["verdict"]["kind"] == "perfect"
    holds("groups of a running server", "BPF iterator", "four members of a running server, perfect locality")
