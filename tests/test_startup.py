"""`netprobe --help` is fast because it imports no slow module, and works without these modules."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = Path(__file__).parent.parent / "netprobe" / "commands"
SLOW = {"numpy", "pandas", "pyarrow", "plotly", "rich", "bcc", "system_calls"}


def run_python(code: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stdout


def test_the_command_line_imports_no_slow_module():
    loaded = set(json.loads(run_python("import json, sys, netprobe.cli; print(json.dumps(list(sys.modules)))")))
    assert "netprobe.cli" in loaded
    assert not SLOW & loaded


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["syscalls", "--help"], ["switches", "-h"]])
def test_help_works_without_slow_modules(arguments):
    code = f"""
import sys
for name in {sorted(SLOW)}:
    sys.modules[name] = None  # importing it raises
from netprobe.cli import main
main()
"""
    assert "netprobe" in run_python(code, *arguments)


@pytest.mark.parametrize("name", sorted(re.sub("(?<!_)_$", "", path.stem) for path in COMMANDS.glob("*.py")))
def test_every_command_is_in_the_help(name, netprobe):
    shown = netprobe("--help").out
    if name in ("__init__", "recording"):
        assert f"  {name} " not in shown
    else:
        assert f"  {name} " in shown


def test_python_m(checkout):
    done = subprocess.run(
        [sys.executable, "-m", "netprobe", "--version"], capture_output=True, text=True, check=True, cwd="/", timeout=30
    )
    assert done.stdout.startswith("netprobe")
