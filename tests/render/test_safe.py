import sys
import unicodedata

import pytest

from netprobe.render.safe import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("nginx: worker", "nginx: worker"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x7f", "\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ufeff", "\\ufeff"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\\udcff"),
        ("\ue000", "\\ue000"),
        ("\U000e0041", "\\U000e0041"),
        ("Köln 東京 \N{SNAKE}", "Köln 東京 \N{SNAKE}"),
        ("[red]", "[red]"),
    ],
)
def test_shown(text, shown):
    assert printable(text) == shown


def test_no_control_character_is_printed():
    for code in (*range(0x20000), *range(0xE0000, 0xE0200), sys.maxunicode):
        shown = printable(chr(code))
        assert all(unicodedata.category(char)[0] in "LMNPSZ" for char in shown), hex(code)
        assert not {"\u2028", "\u2029", "\x1b"} & set(shown)


def test_escaped_text_is_stable():
    for text in ("\x1b", "\u202e", "\udcff", "plain"):
        assert printable(printable(text)) == printable(text)
