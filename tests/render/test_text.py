import io
import unicodedata

import pytest

from netprobe.render.text import TextColumn, TextTable, plain, show

COLUMNS = [TextColumn("NAME"), TextColumn("COUNT", True), TextColumn("REST")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def columns_taken(text: str) -> int:
    """As wcwidth(3): wide characters two, combining marks none."""
    return sum(
        0 if unicodedata.category(char) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


@pytest.mark.parametrize("name", ["ab", "東京", "e\u0301clair", "\N{SNAKE}s", "\x1b[31m", "क्षि", ""])
def test_columns_stay_under_their_headings(name):
    text = plain(TextTable(COLUMNS, [[name, "7", "end"], ["a-longer-name", "12345", "end"]]))
    lines = text.splitlines()
    assert lines[0] == "NAME           COUNT  REST"
    assert [columns_taken(line) for line in lines[1:]] == [columns_taken(lines[2])] * 2
    assert lines[1].endswith("      7  end")


def test_no_rows():
    assert plain(TextTable(COLUMNS, [])) == "NAME  COUNT  REST\n"


def test_no_blanks_at_the_end_of_a_line():
    text = plain(TextTable([TextColumn("A"), TextColumn("B")], [["x", ""], ["y", "long"]]))
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_hostile_cells_are_escaped_on_terminals_and_in_pipes():
    table = TextTable([TextColumn("NAME")], [["\x1b]0;title\x07\u202e[red]x[/red]"]])
    for out in (io.StringIO(), Terminal()):
        show(table, out)
        text = out.getvalue()
        assert "\x1b]" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
        assert "\\x1b]0;title\\x07\\u202e[red]x[/red]" in text.replace("\n", "")


def test_a_terminal_gets_the_same_cells():
    out = Terminal()
    show(TextTable(COLUMNS, [["nginx", "10007", "x"]]), out)
    for word in ("NAME", "COUNT", "nginx", "10007"):
        assert word in out.getvalue()
