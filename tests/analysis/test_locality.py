"""Members and the verdict, on tables made by hand."""

import json
import math
from typing import Any

import pytest

from netprobe.analysis.locality import groups, thread_matrices, tx_matrices, verdict, whole_matrix
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
        """One more thread that serves the last member."""
        self.members.append(self.members[-1] | changes)
        return self

    def messages(self, thread: int, received: int, read: int, count: int, same_host: int = 0) -> "World":
        self.cells.append(
            {"interval": 0, "pid": PID, "tid": PID + 1 + thread, "process": "web", "thread": f"io-{thread}",
             "rx_cpu": received, "cpu": read, "messages": count,
             "same_host": same_host}
        )  # fmt: skip
        return self

    def evaluated(self, cpus: str = "0-1") -> tuple[Any, Any]:
        tables = {
            "reuseport_groups": table("reuseport_groups", self.groups, GROUP_COLUMNS),
            "reuseport_members": table("reuseport_members", self.members, MEMBER_COLUMNS),
            "messages": table("messages", self.cells, MESSAGE_COLUMNS),
        }
        threads = thread_matrices(tables)
        found = groups(tables, cpus, threads)
        return found, verdict(found, whole_matrix(threads))


GROUP_COLUMNS = tuple(World().group().groups[0])
MEMBER_COLUMNS = tuple(World().group().member("0").members[0])
MESSAGE_COLUMNS = tuple(World().messages(0, 0, 0, 1).cells[0])


def results(world: World, cpus: str = "0-1") -> list[str]:
    found, _ = world.evaluated(cpus)
    return [member.result for group in found for member in group.members]


def test_perfect():
    world = World().group().member("0").member("1").messages(0, 0, 0, 700).messages(1, 1, 1, 300)
    found, said = world.evaluated()
    assert [member.result for member in found[0].members] == ["right", "right"]
    assert (said.kind, said.reasons, said.local_pct, said.messages) == ("perfect", (), 100, 1000)
    assert said.sentence == "Locality is perfect: 100.0 % of 1000 messages were read on the CPU that received them."
    assert found[0].members[0].servers[0].ran_on == {0: 700}


@pytest.mark.parametrize(("remote", "kind"), [(10, "perfect"), (11, "broken")])
def test_perfect_begins_at_99_percent(remote, kind):
    world = World().group().member("0").messages(0, 0, 0, 1000 - remote).messages(0, 1, 0, remote)
    assert world.evaluated("0")[1].kind == kind


def test_wrong_order():
    world = World().group().member("1").member("0").messages(0, 0, 1, 500).messages(1, 1, 0, 500)
    found, said = world.evaluated()
    assert [(m.result, m.words) for m in found[0].members] == [
        ("wrong", "CPU 0's packets; io-0 runs on 1"), ("wrong", "CPU 1's packets; io-1 runs on 0"),
    ]  # fmt: skip
    assert said.kind == "broken"
    assert said.reasons == (
        "the listeners of 10.0.0.1:8080 are in the wrong order: index 0, 1, … is served on CPU 1, 0",
    )
    assert said.local_pct == 0


def test_wrong_order_is_wrong_before_any_message():
    assert World().group().member("1").member("0").evaluated()[1].kind == "broken"


def test_a_wrong_group_beside_a_busy_right_one():
    """verdict(): a group that is wrong is wrong also while no message has shown it."""
    world = World().group().member("0").member("1").group().member("1").member("0")
    world.messages(0, 0, 0, 1000)
    said = world.evaluated()[1]
    assert said.kind == "broken"
    assert "10.0.0.1:8081" in said.sentence


def test_one_thread_not_pinned():
    world = World().group().member("0").member("0-1").messages(0, 0, 0, 500).messages(1, 1, 0, 500)
    found, said = world.evaluated()
    assert [m.result for m in found[0].members] == ["right", "not pinned"]
    assert said.reasons == ("io-1 of 10.0.0.1:8080 is not pinned to a CPU",)


def test_a_thread_on_more_cpus_than_get_there_modulo():
    """Index 0 gets the packets of CPUs 0 and 2: a thread on either is right, on all four it is not."""
    assert results(World().group(program=MODULO_2).member("0,2").member("1,3"), "0-3") == ["right", "right"]
    assert results(World().group(program=MODULO_2).member("0").member("3"), "0-3") == ["right", "right"]
    assert results(World().group(program=MODULO_2).member("0-3").member("1"), "0-3") == ["not pinned", "right"]
    assert results(World().group(program=MODULO_2).member("1,3").member("0,2"), "0-3") == ["wrong", "wrong"]


def test_no_steering():
    world = World().group("none").member("0").member("1").messages(0, 0, 0, 500).messages(0, 1, 0, 500)
    found, said = world.evaluated()
    assert [m.result for m in found[0].members] == ["unsteered", "unsteered"]
    assert said.kind == "broken"
    assert "10.0.0.1:8080 has 2 listeners and no steering" in said.sentence
    assert "50.0 % of 1000 messages" in said.sentence


@pytest.mark.parametrize(("same_host", "kind"), [(500, "broken"), (501, "inconclusive")])
def test_clients_of_this_host_decide_where_they_are_received(same_host, kind):
    world = World().group("none").member("0").messages(0, 1, 0, 1000, same_host)
    said = world.evaluated()[1]
    assert said.kind == kind
    assert ("the clients run on this host" in said.sentence) is (kind == "inconclusive")
    assert said.sentence.endswith("0.0 % of 1000 messages were read on the CPU that received them.")


@pytest.mark.parametrize("steering", ["none", "cbpf"])
def test_a_group_can_be_steered_whoever_the_clients_are(steering):
    world = World().group(steering).member("1").member("0").messages(0, 0, 1, 500, 500).messages(1, 1, 0, 500, 500)
    assert world.evaluated()[1].kind == "broken"


def test_local_clients_of_this_host_are_local():
    assert World().messages(0, 0, 0, 1000, 1000).evaluated()[1].kind == "perfect"


def test_more_cpus_than_listeners():
    world = World().group().member("0").member("1").messages(0, 0, 0, 500).messages(1, 2, 1, 500)
    found, said = world.evaluated("0-3")
    assert [m.result for m in found[0].members] == ["right", "right"]
    assert said.kind == "broken"
    assert "the packets of CPU 2, 3 have no listener of their own" in said.sentence


def test_a_listener_for_several_cpus():
    world = World().group(program=MODULO_2).member("0").member("1").messages(0, 0, 0, 500).messages(0, 2, 0, 500)
    _, said = world.evaluated("0-3")
    assert said.kind == "broken"
    assert "10.0.0.1:8080 gets the packets of several CPUs: it has fewer listeners than CPUs" in said.sentence


def test_one_listener_is_no_lack_of_steering():
    _, said = World().group("none").member("0").messages(0, 0, 0, 500).messages(0, 1, 0, 500).evaluated()
    assert "10.0.0.1:8080 has 1 listener: whoever serves it gets any CPU's packets" in said.sentence
    assert "no steering" not in said.sentence


def test_more_listeners_than_cpus():
    world = World().group().member("0").member("1").member("0").member("1")
    assert results(world) == ["right", "right", "idle", "idle"]


def test_ebpf_cannot_be_told():
    world = World().group("ebpf", program_name="steer").member("0").member("1").messages(0, 0, 0, 1000)
    found, said = world.evaluated()
    assert {m.result for m in found[0].members} == {"inconclusive"}
    assert "steer" in found[0].steering
    assert said.kind == "perfect"


def test_ebpf_and_messages_elsewhere():
    """Nobody can say that listeners and threads match."""
    _, said = World().group("ebpf").member("0").member("1").messages(0, 0, 1, 1000).evaluated()
    assert said.kind == "broken"
    assert "whether listeners and threads of 10.0.0.1:8080 match cannot be told" in said.sentence


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
def test_too_little_to_tell(messages, words):
    world = World().group().member("0").member("1")
    if messages:
        world.messages(0, 0, 0, messages)
    said = world.evaluated()[1]
    assert said.kind == "inconclusive"
    assert words in said.sentence


def test_no_group_at_all():
    said = World().messages(0, 0, 1, 1000).evaluated()[1]
    assert said.kind == "broken"
    assert "no reuseport group" in said.sentence
    assert World().evaluated()[1].kind == "inconclusive"


def test_a_member_that_nobody_serves():
    found, _ = World().group().member(None).member("1").evaluated()
    assert found[0].members[0].result == "inconclusive"
    assert "no thread" in found[0].members[0].words
    assert found[0].members[0].servers == ()


def test_a_member_with_two_threads():
    """Both must be where its packets arrive."""
    world = World().group().member("0").again(tid=PID + 77, thread="other", cpus_allowed="1").member("1")
    found, _ = world.evaluated()
    assert [len(member.servers) for member in found[0].members] == [2, 1]
    assert found[0].members[0].result == "wrong"
    assert "other runs on 1" in found[0].members[0].words


def test_a_thread_whose_affinity_is_not_known():
    """It ended before it was read: nothing is known, so nothing is right."""
    found, _ = World().group().member("").member("1").evaluated()
    assert found[0].members[0].result == "inconclusive"


def test_a_member_without_an_index():
    found, _ = World().group().member("0", index=-1).evaluated()
    assert (found[0].members[0].index, found[0].members[0].result) == (None, "inconclusive")


def test_a_program_that_was_cut():
    found, _ = World().group(program_omitted=9).member("0").evaluated()
    assert "11 instructions" in found[0].steering
    assert found[0].members[0].result == "inconclusive"


def test_packets_that_arrive_elsewhere():
    """Group and threads match, but RPS sends later packets to another CPU."""
    world = World().group().member("0").member("1").messages(0, 1, 0, 600).messages(1, 1, 1, 600)
    said = world.evaluated()[1]
    assert said.kind == "broken"
    assert "RPS" in said.sentence


def test_before_the_first_packet_counts_neither_way():
    said = World().group().member("0").messages(0, -1, 0, 5000).messages(0, 0, 0, 1000).evaluated("0")[1]
    assert (said.kind, said.messages, said.local_pct) == ("perfect", 1000, 100)


def test_matrices_add_up_over_intervals():
    world = World().messages(0, 0, 0, 3).messages(0, 0, 0, 4).messages(1, 0, 1, 5)
    threads = thread_matrices({"messages": table("messages", world.cells, MESSAGE_COLUMNS)})
    assert [(here.thread, dict(here.matrix.cells)) for here in threads] == [
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
