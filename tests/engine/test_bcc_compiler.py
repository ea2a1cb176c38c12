"""The system's BCC is found from any Python, and no other package of the system is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from netprobe.engine import bcc_compiler
from netprobe.engine.bcc_compiler import import_bcc
from netprobe.errors import NotPossibleHereError

COMMANDS = ("apt install python3-bpfcc", "dnf install python3-bcc", "pacman -S python-bcc")


@pytest.fixture
def no_bcc_loaded(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "bcc"]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "bcc"]:
        del sys.modules[name]


def package(folder: Path, **files: str) -> str:
    (folder / "bcc").mkdir(parents=True)
    for name, text in files.items():
        (folder / "bcc" / f"{name}.py").write_text(text)
    return str(folder)


@pytest.mark.usefixtures("no_bcc_loaded")
def test_missing(tmp_path):
    for places in ((), (str(tmp_path),), ("/nonexistent/*",)):
        with pytest.raises(NotPossibleHereError, match="is not installed") as error:
            import_bcc(places)
        assert all(command in error.value.hint for command in COMMANDS)
        assert "not with pip" in error.value.hint


@pytest.mark.usefixtures("no_bcc_loaded")
def test_the_unrelated_package_of_pypi(tmp_path, monkeypatch):
    """A package that stands in for PyPI's `bcc`, which has nothing to do with BPF: it has no libbcc.py."""
    monkeypatch.syspath_prepend(package(tmp_path, __init__="def binomial(n, k): return 1\n"))
    with pytest.raises(NotPossibleHereError, match="unrelated") as error:
        import_bcc((str(tmp_path),))
    assert all(command in error.value.hint for command in COMMANDS)
    assert "bcc" not in sys.modules


@pytest.mark.usefixtures("no_bcc_loaded")
def test_the_unrelated_package_already_imported(tmp_path, monkeypatch):
    """The same stand-in, imported by a program that uses netprobe as a library."""
    monkeypatch.syspath_prepend(package(tmp_path / "pypi", __init__="def binomial(n, k): return 1\n"))
    import bcc  # noqa: F401

    real = package(tmp_path / "system", __init__="class BPF: pass\n", libbcc="")
    assert import_bcc((real,)).BPF


@pytest.mark.usefixtures("no_bcc_loaded")
@pytest.mark.parametrize(
    "text", ["import nosuchmodule", "1 +", "from .libbcc import nothing", "raise OSError('libbcc.so')"]
)
def test_broken(tmp_path, text):
    place = package(tmp_path, __init__=text, libbcc="")
    with pytest.raises(NotPossibleHereError, match="cannot be loaded") as error:
        import_bcc((place,))
    assert "Reinstall" in error.value.hint
    assert "bcc" not in sys.modules


@pytest.mark.usefixtures("no_bcc_loaded")
def test_no_other_package_of_the_folder_is_imported(tmp_path):
    place = package(tmp_path, __init__="class BPF: pass\n", libbcc="")
    (tmp_path / "numpy.py").write_text("raise AssertionError('not from here')")
    assert import_bcc((place,)).BPF
    assert place not in sys.path


def test_the_first_folder_is_used(tmp_path, no_bcc_loaded):
    first = package(tmp_path / "a", __init__="class BPF: place = 1\n", libbcc="")
    second = package(tmp_path / "b", __init__="class BPF: place = 2\n", libbcc="")
    assert import_bcc((first, second)).BPF.place == 1


def test_the_installed_bcc(checkout):
    """In a separate process, so that BCC is not imported here."""
    if not any(Path(place, "bcc").exists() for place in bcc_compiler._FOLDERS if "*" not in place):
        pytest.skip("BCC is not installed")
    code = (
        "import sys; before = list(sys.path)\n"
        "from netprobe.engine.bcc_compiler import import_bcc\n"
        "import os; bcc = import_bcc(); print(bcc.__file__, os.environ['BCC_KERNEL_SOURCE'])\n"
        "assert sys.path == before; assert bcc is import_bcc() and bcc.BPF"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    file, headers = done.stdout.split()
    assert "dist-packages" in file or "site-packages" in file
    assert (Path(headers) / "include" / "linux" / "types.h").exists()
