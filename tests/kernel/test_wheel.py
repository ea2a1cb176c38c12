"""The wheel, installed in a new virtual environment and used outside of the checkout."""

import csv
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

# Nothing of whoever runs the tests may help the installed one.
BARE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, checkout]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, checkout, tmp_path_factory) -> Iterator[Path]:
    """The Python of the new environment."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    constraints = checkout / "constraints.txt"
    limits = ["-c", constraints] if constraints.exists() else []
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *limits, wheel], check=True, timeout=240
    )
    yield python
    # Some 400 MB, and pytest keeps the directories of three runs.
    shutil.rmtree(folder)


def files_of(python: Path) -> list[str]:
    (record,) = python.parent.parent.glob("lib/python*/site-packages/netprobe-*.dist-info/RECORD")
    return [row[0] for row in csv.reader(record.read_text().splitlines())]


def test_only_our_packages_are_in_site_packages(installed):
    top = {name.split("/")[0] for name in files_of(installed) if not name.startswith("../")}
    assert {name for name in top if not name.endswith(".dist-info")} <= {"netprobe", "flamegraph"}
    assert [name for name in files_of(installed) if name.startswith("../")] == ["../../../bin/netprobe"]


def test_package_data(installed):
    files = set(files_of(installed))
    assert {"netprobe/bpf/common.h", "netprobe/bpf/syscalls.c", "netprobe/bpf/switches.c"} <= files
    assert "netprobe/bpf/include/linux/types.h" in files
    assert {"netprobe/dashboards/first-look.ipynb", "netprobe/dashboards/runs/faulty/run.json"} <= files
    assert "netprobe/render/schema/syscalls.json" in files
    assert not [name for name in files if "/build/" in name or name.endswith((".o", "lab-server"))]
    assert [name for name in files if "licenses/" in name or name.endswith("LICENSE")]
    assert [name for name in files if name.endswith("LICENSE.GPL-2.0")]


def test_installed_files_are_used(installed, tmp_path):
    code = "import netprobe.resources as r; print(r.resource('bpf'))"
    said = subprocess.run(
        [installed, "-c", code], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path, env=BARE
    ).stdout
    folder = Path(said.strip())
    assert folder.is_relative_to(installed.parent.parent)
    assert (folder / "common.h").exists()


def test_a_recording(installed, tmp_path):
    netprobe = installed.with_name("netprobe")
    command = [netprobe, "syscalls", "-d", "1", "--json", "-o", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=BARE, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["attached"]
    code = "import netprobe; print(len(netprobe.load('run').table('intervals')))"
    said = subprocess.run(
        [installed, "-c", code], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path, env=BARE
    ).stdout
    assert said.strip() == "1"
