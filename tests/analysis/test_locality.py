"""Members and the verdict, on hand-made tables."""

import json
import math
from typing import Any

import pytest

from netprobe.analysis.locality import groups, parse_cpu_list, thread_matrices, tx_matrices, verdict, whole_matrix
from netprobe.run.table import Table

CPU, MODULO_2 = (
    [(0x20, 0, 0, 0xFFFFF024), (0x16, 0, 0, 0)],
    [(0x20, 0, 0, 0xFFFFF024), (0x94, 0, 0, 2), (0x16, 0, 0, 0)],
)
PID = 4001


def table(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    return Table(name, {column: [row[column] for row in rows] for column in columns})


class World:
    """Groups with members as (CPUs that its thread may run on, or None for no thread), and messages."""

    def __init__(self) -> None:
        self.groups: list[dict[str, Any]] = []
        self.members: list[dict[str, Any]] = []
        self.cells: list[dict[str, Any]] = []

    def group(self, steering: str = "cbpf", program: Any = None, **changes: Any) -> "World":
        number = len(self.groups)
        self.groups.append(
            {
                "group": number, "protocol": "tcp", "address": "10.0.0.1", "port": 8080 + number, "dual_stack": False,
                "network_namespace": 1, "size": 0, "steering": steering, "program_id": 0, "program_name": "",
                "program": json.dumps(program if program is not None else CPU if steering == "cbpf" else []),
                "program_omitted": 0, "changed_while_recording": False,
            }
            | changes
        )  # fmt: skip
        return self

    def member(self, cpus: str | None, **changes: Any) -> "World":
        group = self.groups[-1]
        index = group["size"]
        group["size"] += 1
        served = cpus is not None
        self.members.append(
            {
                "group": group["group"], "index": index, "inode": 100 * group["group"] + index, "incoming_cpu": -1,
                "owner_pids": str(PID), "pid": PID if served else -1, "tid": PID + 1 + index if served else -1,
                "process": "web" if served else "", "thread": f"io-{index}" if served else "",
                "how": "epoll" if served else "", "cpus_allowed": cpus or "", "last_cpu": 0 if served else -1,
                "joined_s": math.nan, "joined_tid": -1, "joined_thread": "", "joined_cpu": -1,
            }
            | changes
        )  # fmt: skip
        return self

    def again(self, **changes: Any) -> "World":
        """Another thread that serves the last member."""
        self.members.append(self.members[-1] | changes)
        return self

    def messages(self, thread: int, received: int, read: int, count: int, same_host: int = 0) -> "World":
        self.cells.append(
            {"interval": 0, "pid": PID, "tid": PID + 1 + thread, "process": "web", "thread": f"io-{thread}",
             "rx_cpu": received, "cpu": read, "messages": count,
             "same_host": same_host}
        )  # fmt: skip
        return self

    def evaluated(self, cpus: str = "0-1", unpinned_clients: bool = False) -> tuple[Any, Any]:
        tables = {
            "reuseport_groups": table("reuseport_groups", self.groups, GROUP_COLUMNS),
            "reuseport_members": table("reuseport_members", self.members, MEMBER_COLUMNS),
            "messages": table("messages", self.cells, MESSAGE_COLUMNS),
        }
        threads = thread_matrices(tables)
        found = groups(tables, cpus, threads)
        return found, verdict(found, whole_matrix(threads), unpinned_clients)


GROUP_COLUMNS = tuple(World().group().groups[0])
MEMBER_COLUMNS = tuple(World().group().member("0").members[0])
MESSAGE_COLUMNS = tuple(World().messages(0, 0, 0, 1).cells[0])


def results(world: World, cpus: str = "0-1") -> list[str]:
    found, _ = world.evaluated(cpus)
    return [member.result for group in found for member in group.members]


def test_perfect():
    world = World().group().member("0").member("1").messages(0, 0, 0, 700).messages(1, 1, 1, 300)
    found, found_verdict = world.evaluated()
    assert [member.result for member in found[0].members] == ["right", "right"]
    assert (found_verdict.kind, found_verdict.reasons, found_verdict.local_pct, found_verdict.messages) == (
        "perfect",
        (),
        100,
        1000,
    )
    assert (
        found_verdict.sentence
        == "Locality is perfect: 100.0 % of 1000 messages were read on the CPU that received them."
    )
    assert found[0].members[0].servers[0].ran_on == {0: 700}


@pytest.mark.parametrize(("remote", "kind"), [(10, "perfect"), (11, "broken")])
def test_perfect_begins_at_99_percent(remote, kind):
    world = World().group().member("0").messages(0, 0, 0, 1000 - remote).messages(0, 1, 0, remote)
    assert world.evaluated("0")[1].kind == kind


def test_wrong_order():
    world = World().group().member("1").member("0").messages(0, 0, 1, 500).messages(1, 1, 0, 500)
    found, found_verdict = world.evaluated()
    assert [(m.result, m.reason) for m in found[0].members] == [
        ("wrong", "packets of CPU 0; io-0 runs on CPU 1"), ("wrong", "packets of CPU 1; io-1 runs on CPU 0"),
    ]  # fmt: skip
    assert found_verdict.kind == "broken"
    assert found_verdict.reasons == (
        "the listeners of 10.0.0.1:8080 are in the wrong order: indexes 0, 1, … are served on CPU 1, 0",
    )
    assert found_verdict.local_pct == 0


def test_wrong_order_is_broken_without_messages():
    assert World().group().member("1").member("0").evaluated()[1].kind == "broken"


def test_a_wrong_group_next_to_a_busy_right_one():
    """A group in the wrong order is broken even without messages."""
    world = World().group().member("0").member("1").group().member("1").member("0")
    world.messages(0, 0, 0, 1000)
    found_verdict = world.evaluated()[1]
    assert found_verdict.kind == "broken"
    assert "10.0.0.1:8081" in found_verdict.sentence


def test_one_thread_not_pinned():
    world = World().group().member("0").member("0-1").messages(0, 0, 0, 500).messages(1, 1, 0, 500)
    found, found_verdict = world.evaluated()
    assert [m.result for m in found[0].members] == ["right", "not pinned"]
    assert found_verdict.reasons == ("io-1 of 10.0.0.1:8080 is not pinned to a CPU",)


def test_threads_of_a_group_that_is_steered_modulo():
    """Index 0 receives packets of CPUs 0 and 2: a thread may run on either of them, but not on all four."""
    assert results(World().group(program=MODULO_2).member("0,2").member("1,3"), "0-3") == ["right", "right"]
    assert results(World().group(program=MODULO_2).member("0").member("3"), "0-3") == ["right", "right"]
    assert results(World().group(program=MODULO_2).member("0-3").member("1"), "0-3") == ["not pinned", "right"]
    assert results(World().group(program=MODULO_2).member("1,3").member("0,2"), "0-3") == ["wrong", "wrong"]


def test_no_steering():
    world = World().group("none").member("0").member("1").messages(0, 0, 0, 500).messages(0, 1, 0, 500)
    found, found_verdict = world.evaluated()
    assert [m.result for m in found[0].members] == ["unsteered", "unsteered"]
    assert found_verdict.kind == "broken"
    assert "10.0.0.1:8080 has 2 listeners and no steering" in found_verdict.sentence
    assert "50.0 % of 1000 messages" in found_verdict.sentence


@pytest.mark.parametrize(("same_host", "kind"), [(500, "broken"), (501, "inconclusive")])
def test_clients_on_this_host_make_the_verdict_inconclusive(same_host, kind):
    world = World().group("none").member("0").messages(0, 1, 0, 1000, same_host)
    found_verdict = world.evaluated()[1]
    assert found_verdict.kind == kind
    assert ("the clients run on this host" in found_verdict.sentence) is (kind == "inconclusive")
    assert found_verdict.sentence.endswith("0.0 % of 1000 messages were read on the CPU that received them.")


@pytest.mark.parametrize(("steering", "kind"), [("none", "inconclusive"), ("cbpf", "broken")])
def test_clients_on_this_host_that_are_not_pinned(steering, kind):
    """The scheduler decides on which CPU such a client sends; a wrong order of listeners is a fault all the same."""
    world = World().group(steering).member("1").member("0").messages(0, 0, 1, 500, 500).messages(1, 1, 0, 500, 500)
    found = world.evaluated(unpinned_clients=True)[1]
    assert found.kind == kind
    assert ("pin the client" in found.sentence) is (kind == "inconclusive")


@pytest.mark.parametrize("steering", ["none", "cbpf"])
def test_groups_are_evaluated_with_clients_on_this_host_too(steering):
    world = World().group(steering).member("1").member("0").messages(0, 0, 1, 500, 500).messages(1, 1, 0, 500, 500)
    assert world.evaluated()[1].kind == "broken"


def test_local_messages_of_clients_on_this_host_are_perfect():
    assert World().messages(0, 0, 0, 1000, 1000).evaluated()[1].kind == "perfect"


def test_more_cpus_than_listeners():
    world = World().group().member("0").member("1").messages(0, 0, 0, 500).messages(1, 2, 1, 500)
    found, found_verdict = world.evaluated("0-3")
    assert [m.result for m in found[0].members] == ["right", "right"]
    assert found_verdict.kind == "broken"
    assert "the packets of CPU 2, 3 have no listener and are distributed by hash" in found_verdict.sentence


def test_a_listener_for_several_cpus():
    world = World().group(program=MODULO_2).member("0").member("1").messages(0, 0, 0, 500).messages(0, 2, 0, 500)
    _, found_verdict = world.evaluated("0-3")
    assert found_verdict.kind == "broken"
    assert (
        "10.0.0.1:8080 receives the packets of several CPUs: there are fewer listeners than CPUs"
        in found_verdict.sentence
    )


def test_one_listener_needs_no_steering():
    _, found_verdict = World().group("none").member("0").messages(0, 0, 0, 500).messages(0, 1, 0, 500).evaluated()
    assert "10.0.0.1:8080 has 1 listener, which receives the packets of every CPU" in found_verdict.sentence
    assert "no steering" not in found_verdict.sentence


def test_more_listeners_than_cpus():
    world = World().group().member("0").member("1").member("0").member("1")
    assert results(world) == ["right", "right", "idle", "idle"]


def test_ebpf_steering_is_inconclusive():
    world = World().group("ebpf", program_name="steer").member("0").member("1").messages(0, 0, 0, 1000)
    found, found_verdict = world.evaluated()
    assert {m.result for m in found[0].members} == {"inconclusive"}
    assert "steer" in found[0].steering
    assert found_verdict.kind == "perfect"


def test_ebpf_with_remote_messages():
    """Whether listeners and threads match is not known."""
    _, found_verdict = World().group("ebpf").member("0").member("1").messages(0, 0, 1, 1000).evaluated()
    assert found_verdict.kind == "broken"
    assert "whether listeners and threads of 10.0.0.1:8080 match is inconclusive" in found_verdict.sentence


def test_ebpf_without_messages():
    assert World().group("ebpf").member("0").evaluated()[1].kind == "inconclusive"


def test_incoming_cpu():
    world = World().group("incoming-cpu").member("1", incoming_cpu=1).member("0", incoming_cpu=1)
    found, _ = world.evaluated()
    assert [(m.result, m.steered_cpus) for m in found[0].members] == [("right", (1,)), ("wrong", (1,))]


def test_incoming_cpu_of_some_listeners_only():
    world = World().group("incoming-cpu").member("1", incoming_cpu=1).member("0")
    found, _ = world.evaluated()
    assert found[0].members[1].result == "inconclusive"


@pytest.mark.parametrize(("messages", "words"), [(0, "no TCP message was read"), (99, "only 99 messages were read")])
def test_few_messages_are_inconclusive(messages, words):
    world = World().group().member("0").member("1")
    if messages:
        world.messages(0, 0, 0, messages)
    found_verdict = world.evaluated()[1]
    assert found_verdict.kind == "inconclusive"
    assert words in found_verdict.sentence


def test_a_server_without_a_group():
    found_verdict = World().messages(0, 0, 1, 1000).evaluated()[1]
    assert found_verdict.kind == "broken"
    assert "no reuseport group" in found_verdict.sentence
    assert World().evaluated()[1].kind == "inconclusive"


def test_a_member_without_a_serving_thread():
    found, _ = World().group().member(None).member("1").evaluated()
    assert found[0].members[0].result == "inconclusive"
    assert "no thread" in found[0].members[0].reason
    assert found[0].members[0].servers == ()


def test_a_member_with_two_threads():
    """Both must run where the packets arrive."""
    world = World().group().member("0").again(tid=PID + 77, thread="other", cpus_allowed="1").member("1")
    found, _ = world.evaluated()
    assert [len(member.servers) for member in found[0].members] == [2, 1]
    assert found[0].members[0].result == "wrong"
    assert "other runs on CPU 1" in found[0].members[0].reason


def test_a_thread_whose_affinity_is_not_known():
    """The thread exited before its affinity was read."""
    found, _ = World().group().member("").member("1").evaluated()
    assert found[0].members[0].result == "inconclusive"


def test_a_member_without_an_index():
    found, _ = World().group().member("0", index=-1).evaluated()
    assert (found[0].members[0].index, found[0].members[0].result) == (None, "inconclusive")


def test_a_program_that_was_cut():
    found, _ = World().group(program_omitted=9).member("0").evaluated()
    assert "11 instructions" in found[0].steering
    assert found[0].members[0].result == "inconclusive"


def test_later_packets_on_another_cpu():
    """Group and threads match, but RPS sends later packets to another CPU."""
    world = World().group().member("0").member("1").messages(0, 1, 0, 600).messages(1, 1, 1, 600)
    found_verdict = world.evaluated()[1]
    assert found_verdict.kind == "broken"
    assert "RPS" in found_verdict.sentence


def test_messages_before_the_first_packet_are_not_counted():
    found_verdict = World().group().member("0").messages(0, -1, 0, 5000).messages(0, 0, 0, 1000).evaluated("0")[1]
    assert (found_verdict.kind, found_verdict.messages, found_verdict.local_pct) == ("perfect", 1000, 100)


def test_matrices_are_summed_over_intervals():
    world = World().messages(0, 0, 0, 3).messages(0, 0, 0, 4).messages(1, 0, 1, 5)
    threads = thread_matrices({"messages": table("messages", world.cells, MESSAGE_COLUMNS)})
    assert [(thread.thread, dict(thread.matrix.cells)) for thread in threads] == [
        ("io-0", {(0, 0): 7}),
        ("io-1", {(0, 1): 5}),
    ]
    assert dict(whole_matrix(threads).cells) == {(0, 0): 7, (0, 1): 5}
    assert thread_matrices({}) == []


def test_tx_matrices():
    columns = ("pid", "tid", "process", "thread", "device", "tx_queues", "tx_queue", "cpu", "packets")
    rows = [
        (1, 1, "w", "w", "eth0", 4, 2, 0, 5),
        (1, 2, "w", "x", "eth0", 4, 2, 0, 6),
        (1, 1, "w", "w", "eth1", 2, 0, 1, 7),
    ]
    tables = {"sent_packets": Table("sent_packets", {c: [row[i] for row in rows] for i, c in enumerate(columns)})}
    assert [(m.device, m.queues, dict(m.cells)) for m in tx_matrices(tables)] == [
        ("eth0", 4, {(0, 2): 11}), ("eth1", 2, {(1, 0): 7}),
    ]  # fmt: skip


def test_ipv6_is_written_in_brackets():
    found, _ = World().group(address="::1").member("0").evaluated()
    assert found[0].name == "[::1]:8080"


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8", [0, 1, 2, 3, 8]), ("5", [5]), ("", []), ("2-2\n", [2]), ("1,0", [1, 0])]
)
def test_a_cpu_list(text, cpus):
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("text", "message"), [("3-1", "ends before it begins"), ("a", "invalid literal"), ("-1", "invalid literal")]
)
def test_an_invalid_cpu_list_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_cpu_list(text)
