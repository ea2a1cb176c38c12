"""`netprobe report` as users run it."""

import shutil

import pytest


def test_a_page_of_a_run(netprobe, checkout, tmp_path):
    page = tmp_path / "report.html"
    done = netprobe("report", checkout / "tests/data/runs/read", "-o", page, "--title", "Ours & <theirs>")
    assert (done.status, done.out) == (0, ""), done.err
    assert f"Written to {page}." in done.err
    assert "<title>Ours &amp; &lt;theirs&gt;</title>" in page.read_text()


def test_a_page_of_two(netprobe, checkout, tmp_path):
    runs = checkout / "tests/data/runs"
    done = netprobe("report", runs / "read", runs / "recv", "-o", tmp_path / "two.html", "--per", "second")
    assert done.status == 0, done.err
    assert "read → recv" in (tmp_path / "two.html").read_text()


def test_runs_of_one_name_are_distinguished_by_their_directories(netprobe, checkout, tmp_path):
    for series in ("a", "b"):
        (tmp_path / series).mkdir()
        shutil.copytree(checkout / "tests/data/runs/recv-few-probes", tmp_path / series / "1")
    done = netprobe("report", tmp_path / "a/1", tmp_path / "b/1", "-o", tmp_path / "two.html")
    assert done.status == 0, done.err
    assert "<h1>a/1 → b/1</h1>" in (tmp_path / "two.html").read_text()


def test_a_page_on_standard_output(netprobe, checkout):
    done = netprobe("report", checkout / "tests/data/runs/recv-few-probes", "-o", "-", "--per", "second")
    assert done.status == 0, done.err
    assert done.out.startswith("<!doctype html>")
    assert "--per applies to two Runs" in done.err


@pytest.mark.parametrize(
    ("run", "output", "message"),
    [
        ("nowhere", "page.html", "There is no Run"),
        ("file", "page.html", "is a file, not a Run"),
        ("series", "page.html", "series/3."),
        ("run", "", "is a directory"),
        ("run", "none/page.html", "none does not exist"),
    ],
)
def test_refused(netprobe, checkout, tmp_path, run, output, message):
    (tmp_path / "file").write_text("text")
    (tmp_path / "series").mkdir()
    (tmp_path / "series/3").symlink_to(checkout / "tests/data/runs/read")
    (tmp_path / "run").symlink_to(checkout / "tests/data/runs/recv-few-probes")
    assert message in netprobe("report", tmp_path / run, "-o", tmp_path / output).refused()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run", "series"]


def test_an_older_page_stays_when_a_run_is_corrupt(netprobe, checkout, tmp_path):
    corrupt = tmp_path / "run"
    corrupt.mkdir()
    for file in (checkout / "tests/data/runs/recv-few-probes").iterdir():
        content = file.read_bytes()
        (corrupt / file.name).write_bytes(content[: len(content) // 2] if file.name == "syscalls.parquet" else content)
    page = tmp_path / "page.html"
    page.write_text("older")
    assert "syscalls.parquet cannot be read" in netprobe("report", corrupt, "-o", page).refused()
    assert page.read_text() == "older"
