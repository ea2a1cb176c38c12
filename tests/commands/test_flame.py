"""`netprobe flame` with files: empty profiles, comparisons of two files, noise. Needs no root."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

SCHEMAS = Path(__file__).parents[2] / "netprobe" / "render" / "schema"

_CUT_SHORT = """
import os, signal, sys
class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, AtImport())
sys.argv = ["netprobe", "flame", "--top", "3", {path!r}]
from netprobe.cli import main
main()
"""


@pytest.mark.parametrize("name", ["click", "netprobe.commands.shared.group", "netprobe.commands.flame", "numpy"])
def test_ctrl_c_while_it_starts_shows_no_traceback(tmp_path, name):
    path = tmp_path / "a.folded"
    path.write_text("a;b 1\n")
    code = _CUT_SHORT.format(name=name, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "netprobe: interrupted before there was a result.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--"], "Specify the server to start"),
        (["a.folded", "--time", "0-1"], "no times"),
        (["a.folded", "--time", "0-1", "--time", "1-2"], "too often"),
        (["--diff", "a.folded"], "two files"),
        (["a.folded", "--event", "cycles"], "does not name its event"),
        (["a.folded", "--thread", "nobody"], "has no threads"),
        (["zero.folded"], "zero.folded contains no sample"),
        (["full.html", "-o", "full.html"], "full.html"),
        (["a.folded", "--off-cpu"], "--off-cpu is an option of recordings"),
        (["a.folded", "-d", "3"], "--duration is an option of recordings"),
        (["a.folded", "--per", "second"], "--per is for comparisons"),
        (["--diff", "a.folded", "zero.folded", "--reverse"], "--reverse is for a picture of one input"),
    ],
)
def test_wrong_use(netprobe, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.folded").write_text("a;b 1\n")
    (tmp_path / "zero.folded").write_text("a;b 0\n")
    assert message in netprobe("flame", *arguments).refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.folded", "zero.folded"]


def test_an_unused_name_by_default(netprobe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.folded").write_text("a;b 1\n")
    for _ in range(3):
        assert netprobe("flame", "a.folded").status == 0
    assert len(list(tmp_path.glob("flame-a.folded-*.html"))) == 3


def test_a_full_disk(netprobe, tmp_path):
    (tmp_path / "a.folded").write_text("a;b 1\n")
    (tmp_path / "out.html").symlink_to("/dev/full")
    done = netprobe("flame", tmp_path / "a.folded", "-o", tmp_path / "out.html")
    assert done.status == 2
    assert "out.html cannot be written: No space left on device" in done.err
    # The table is printed nevertheless.
    assert "100.0" in done.out
    assert {path.name for path in tmp_path.iterdir()} == {"a.folded", "out.html"}


def test_a_file_without_samples_is_an_error(netprobe, tmp_path, monkeypatch):
    """A perf.data of a program that never ran on a CPU."""
    monkeypatch.chdir(tmp_path)
    attribute = np.zeros(18, "<u8")
    attribute[0] = 1 | 128 << 32
    attribute[3] = 1 | 2 | 4 | 32
    header = np.zeros(13, "<u8")
    header[:7] = [int.from_bytes(b"PERFILE2", "little"), 104, 144, 104, 144, 248, 8]
    record = np.array([68 | 8 << 48], "<u8")
    (tmp_path / "perf.data").write_bytes(header.tobytes() + attribute.tobytes() + record.tobytes())
    error = netprobe("flame", "perf.data").refused()
    assert "contains no sample" in error
    assert "nothing can be drawn" in error
    assert [path.name for path in tmp_path.iterdir()] == ["perf.data"]


def _text(path, seed, share, seconds=12.0):
    """perf script text of two functions, one with this share of the samples."""
    random = np.random.default_rng(seed)
    lines = []
    for time in np.arange(0, seconds, 0.002):
        name = "hot" if random.random() < share else "cold"
        lines.append(f"server  7/8 [000] {100 + time:.6f}:    2000000 cpu-clock: \n")
        lines.append(f"\t      401000 {name}+0x10 (/bin/server)\n\t      402000 main+0x20 (/bin/server)\n\n")
    path.write_text("".join(lines))
    return path


def _verdicts(document):
    return {row["name"]: row["verdict"] for row in document["functions"]}


def test_sample_times_separate_noise_from_change(netprobe, tmp_path):
    a, same, other = (_text(tmp_path / f"{n}.txt", n, share) for n, share in ((1, 0.3), (2, 0.3), (3, 0.8)))
    quiet = netprobe("flame", "--diff", "--json", a, same).json()
    assert set(_verdicts(quiet).values()) <= {"noise", "unchanged"}
    assert _verdicts(quiet)["hot"] == "noise"
    loud = netprobe("flame", "--diff", "--json", a, other).json()
    assert (_verdicts(loud)["hot"], _verdicts(loud)["cold"]) == ("grown", "shrunk")
    shown = netprobe("flame", "--diff", "-T", 5, a, same).out
    assert "≈ noise" in shown


def test_two_parts_of_one_file(netprobe, tmp_path):
    path = _text(tmp_path / "a.txt", 1, 0.3)
    found = netprobe("flame", "--diff", "--json", "--time", "0-6", "--time", "6-", path, path).json()
    assert set(_verdicts(found).values()) <= {"noise", "unchanged"}
    assert (found["before"]["name"], found["after"]["name"]) == ("a.txt 0-6 s", "a.txt from 6 s")
    assert found["before"]["samples"] == pytest.approx(found["after"]["samples"], rel=0.02)


def test_folded_stacks_are_inconclusive(netprobe, tmp_path):
    for name, weight in (("a", 300), ("b", 900)):
        (tmp_path / f"{name}.folded").write_text(f"server;main;hot {weight}\nserver;main;cold 500\n")
    found = netprobe("flame", "--diff", "--json", tmp_path / "a.folded", tmp_path / "b.folded").json()
    assert set(_verdicts(found).values()) == {"inconclusive", "unchanged"}
    assert "no times" in found["rule"]
    assert "no change can be distinguished from noise" in found["notes"][-1]


def test_folded_stacks_on_one_side_only(netprobe, tmp_path):
    """New and gone code needs no statistics, except for a few samples, which may be due to chance."""
    (tmp_path / "a.folded").write_text("s;old 50000\ns;same 30000\ns;grows 20000\ns;rare 3\n")
    (tmp_path / "b.folded").write_text("s;new 40000\ns;same 30000\ns;grows 30000\ns;odd 3\n")
    found = netprobe("flame", "--diff", "--json", tmp_path / "a.folded", tmp_path / "b.folded").json()
    verdicts = _verdicts(found)
    assert (verdicts["old"], verdicts["new"], verdicts["grows"]) == ("gone", "new", "inconclusive")
    assert (verdicts["rare"], verdicts["odd"]) == ("inconclusive", "inconclusive")


def test_the_unit_of_folded_stacks(netprobe, tmp_path):
    netprobe("flame", _text(tmp_path / "a.txt", 1, 0.3), "-o", tmp_path / "a.folded")
    verdicts = netprobe("flame", tmp_path / "a.folded", "--unit", "ns", "--json").json()
    assert (verdicts["unit"], verdicts["weight"]) == ("ns", 6000 * 2e6)
    assert netprobe("flame", tmp_path / "a.folded", "--json").json()["unit"] == "samples"
    again = netprobe("flame", _text(tmp_path / "a.txt", 1, 0.3), "-o", tmp_path / "b.folded")
    assert "read it with --unit ns" in again.err


def test_corrupt_text_names_the_option(netprobe, tmp_path):
    path = tmp_path / "a.folded"
    path.write_text("a;b 1\nbroken\n")
    assert "--salvage" in netprobe("flame", path).refused()
    done = netprobe("flame", path, "--salvage", "--top", 3)
    assert done.status == 0
    assert "kept" in done.out
    assert os.listdir(tmp_path) == ["a.folded"]


@pytest.mark.parametrize("top", [0, 3])
def test_a_comparison_as_json(netprobe, top):
    """The document of schema/flame-diff.json, with the number of functions of --top."""
    runs = Path(__file__).parents[2] / "dashboards" / "runs"
    document = netprobe("flame", "--diff", runs / "faulty", runs / "fixed", "--json", "-T", top).json()
    jsonschema.validate(document, json.loads((SCHEMAS / "flame-diff.json").read_text()))
    assert (len(document["functions"]) == top) is bool(top)
    assert document["before"]["samples"] == 304


def test_another_event_than_the_runs(netprobe):
    run = Path(__file__).parents[2] / "dashboards" / "runs" / "faulty"
    assert "has stacks of cpu-clock only" in netprobe("flame", run, "--event", "cycles", "-T", 1).refused()
