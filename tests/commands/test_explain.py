"""`netprobe explain`."""

import pytest

from netprobe.render.explain import as_markdown, catalogue
from netprobe.rules.documentation import SECTIONS
from netprobe.rules.registry import all_rules

CODES = [rule.CODE for rule in all_rules()]


def test_all_codes_with_their_titles(netprobe):
    done = netprobe("explain")
    assert done.status == 0
    lines = done.out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == sorted(CODES)
    assert all(line.endswith(".") for line in lines)


def test_one(netprobe):
    done = netprobe("explain", "reuseport-order")
    assert done.out.startswith("# reuseport-order\n\nThe listeners of a port are not in the order")
    assert [line[3:] for line in done.out.splitlines() if line.startswith("## ")] == list(SECTIONS)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.CODE)
def test_markdown(rule):
    text = as_markdown(rule)
    assert text.startswith(f"# {rule.CODE}\n\n")
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("given", "near"),
    [("reusport-order", "reuseport-order"), ("read_on_sockets", "read-on-sockets"), ("Hot-Frame", "hot-frame")],
)
def test_near_matches(netprobe, given, near):
    message = netprobe("explain", given).refused()
    assert f"no finding {given!r}" in message
    assert near in message


def test_nothing_near(netprobe):
    assert "netprobe explain" in netprobe("explain", "zzzzzz").refused()


def test_the_catalogue_needs_no_terminal():
    table = catalogue(all_rules())
    assert [row[0] for row in table.rows] == CODES
