"""Labels that plotly would interpret as markup."""

import pytest

from netprobe.render.safe import label, thread_labels


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("reactor-0", "reactor-0"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("&lt;", "&amp;lt;"),
        ("a\nb\x1b[0m", "a\\x0ab\\x1b[0m"),
        ("\u202eexe", "\\u202eexe"),
        ("$x$", "&#36;x&#36;"),
        ("", ""),
    ],
)
def test_label(name, shown):
    assert label(name) == shown


def test_long_names_keep_begin_and_end():
    shown = label("begin" + "x" * 500 + "end")
    assert len(shown) == 60
    assert shown.startswith("begin")
    assert shown.endswith("end")


def test_threads_of_one_name_are_labelled_with_their_tid():
    assert thread_labels([(1, 2, "a"), (1, 3, "a"), (1, 4, "b")]) == ["a (2)", "a (3)", "b"]
