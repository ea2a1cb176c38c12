"""Discovery of formats, and the public names of the package."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import flamegraph
from flamegraph import readers, writers
from flamegraph.readers import input_formats
from flamegraph.writers import output_formats

RUN = Path(__file__).parents[2] / "dashboards" / "runs" / "faulty"


def test_input_formats_are_tested_from_the_most_specific_to_the_least():
    assert [(found.FORMAT, found.IS_TEXT) for found in input_formats()] == [
        ("perf.data", False),
        ("pprof", False),
        ("perf script text", True),
        ("folded stacks", True),
    ]


def test_recognising_a_format_imports_no_parser():
    code = "import sys; from flamegraph.readers import input_formats\n"
    code += "print([found.FORMAT for found in input_formats() if found.recognises(b'a;b 1\\n')])\n"
    code += (
        "print([name for name in sys.modules if name == 'numpy' or name.startswith('flamegraph.readers.perfdata.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['folded stacks']\n[]\n"


@pytest.mark.parametrize(
    ("package", "find", "module", "message"),
    [
        (
            readers,
            input_formats,
            "FORMAT = 'pprof'\nORDER = 1\nIS_TEXT = False\ndef recognises(head): ...\n",
            r"'pprof' of flamegraph\.readers\.zz is already read by flamegraph\.readers\.pprof",
        ),
        (
            writers,
            output_formats,
            "SUFFIXES = ('.svg',)\n",
            r"\.svg of flamegraph\.writers\.zz is already written by flamegraph\.writers\.svg",
        ),
    ],
)
def test_a_duplicate_raises_and_names_the_owner(tmp_path, monkeypatch, package, find, module, message):
    (tmp_path / "zz.py").write_text(module)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    find.cache_clear()
    try:
        with pytest.raises(ValueError, match=message):
            find()
    finally:
        sys.modules.pop(f"{package.__name__}.zz", None)
        find.cache_clear()


def test_a_run_is_read_through_the_entry_point():
    profile = flamegraph.read(RUN)
    assert profile.count == 304
    assert repr(profile) == "FlameGraph(event='cpu-clock', samples=304, stacks=161, seconds=4.002)"
    assert profile.top(1)[0].frame.module == "[kernel]"


def test_a_run_without_netprobe_names_the_package(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [])
    with pytest.raises(flamegraph.ProfileError, match="is a Run of netprobe") as caught:
        flamegraph.read(RUN)
    assert caught.value.hint == "pip install netprobe"


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(flamegraph.ProfileError, match="is a directory"):
        flamegraph.read(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(flamegraph.ProfileError, match=r"run\.json"):
        flamegraph.read(tmp_path)


def test_public_names():
    assert "read" in dir(flamegraph)
    assert dir(flamegraph) == sorted(flamegraph.__all__)
    for name in flamegraph.__all__:
        assert getattr(flamegraph, name)
