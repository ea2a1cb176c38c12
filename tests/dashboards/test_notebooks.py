"""The notebooks run as they are, on another Run too, and use nothing but the public API."""

import ast
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DASHBOARDS = Path(__file__).parent.parent.parent / "dashboards"
NOTEBOOKS = sorted(DASHBOARDS.glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"
# Notebook -> how many figures it draws.
FIGURES = {"compare-two-runs": 4, "first-look": 4, "is-it-noise": 2, "locality-in-depth": 8}


def executed(notebook, folder):
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    return client.execute()


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def test_these_are_all():
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_as_it_is(path):
    notebook = executed(nbformat.read(path, 4), DASHBOARDS)
    shown = outputs(notebook)
    drawn = [output for output in shown if FIGURE in output.get("data", {})]
    assert len(drawn) == FIGURES[path.stem]
    assert all(figure["data"][FIGURE]["data"] for figure in drawn)
    # Warnings and the like are nothing for readers.
    assert not [output for output in shown if output.output_type == "stream" and output.name == "stderr"]


def test_runs_on_the_readers_own_run(tmp_path):
    shutil.copytree(DASHBOARDS / "runs" / "unsteered", tmp_path / "mine")
    notebook = nbformat.read(DASHBOARDS / "first-look.ipynb", 4)
    changed = [cell for cell in code(notebook) if '"runs/faulty"' in cell.source]
    assert len(changed) == 1
    changed[0].source = changed[0].source.replace('"runs/faulty"', '"mine"')
    notebook.cells = notebook.cells[:6]
    text = str([output.get("data") for output in outputs(executed(notebook, tmp_path))])
    assert "has 2 listeners and no steering" in text
    assert "are served on another CPU" not in text


def test_says_what_a_run_has_not(tmp_path):
    """The whole first look, at a Run of few probes."""
    few = DASHBOARDS.parent / "tests" / "data" / "runs" / "recv-few-probes"
    shutil.copytree(few, tmp_path / "runs" / "faulty")
    shown = outputs(executed(nbformat.read(DASHBOARDS / "first-look.ipynb", 4), tmp_path))
    assert "There is no figure switches: needs the probe switches" in str([output.get("data") for output in shown])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_public_api_only(path):
    """No module of netprobe but netprobe itself, and no name that begins with an underscore."""
    for cell in code(nbformat.read(path, 4)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ("netprobe", "flamegraph"), cell.source
            elif isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("netprobe.")], cell.source
            elif isinstance(node, ast.Attribute):
                assert node.attr == "__name__" or not node.attr.startswith("_"), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_kept_without_output(path):
    """What a notebook shows is made where it is opened."""
    for cell in code(nbformat.read(path, 4)):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_runs_are_small_and_of_no_ones_machine():
    runs = [info.parent for info in (DASHBOARDS / "runs").rglob("run.json")]
    assert len(runs) >= 11
    for run in runs:
        assert sum(file.stat().st_size for file in run.iterdir()) < 1_000_000
        text = b"".join(file.read_bytes() for file in run.iterdir())
        assert b"/home/" not in text
        assert str(DASHBOARDS.parent).encode() not in text
