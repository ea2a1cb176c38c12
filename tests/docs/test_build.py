"""`make docs` builds without warnings; every command has a page and every finding a section."""

import subprocess
import sys
from pathlib import Path

import pytest

from netprobe.commands.shared.group import cli
from netprobe.rules.registry import all_rules

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "doctrees", "docs", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_each_command_has_its_page(built):
    assert {path.stem for path in (built / "commands").glob("*.html")} == set(cli.list_commands(None))


def test_each_finding_has_its_section(built):
    page = (built / "findings.html").read_text()
    for rule in all_rules():
        assert f'id="{rule.CODE}"' in page
    assert page.count("Why it matters") >= len(all_rules())


def test_the_public_names_are_in_the_reference(built):
    page = (built / "python.html").read_text()
    names = ("netprobe.load", "netprobe.compare", "flamegraph.readers.read", "flamegraph.flame_graph.FlameGraph.write")
    for name in names:
        assert f'id="{name}"' in page
