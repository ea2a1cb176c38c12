"""What a recording imports before its probes are attached."""

import subprocess
import sys

import pytest

SLOW = {
    "numpy",
    "pandas",
    "pyarrow",
    "plotly",
    "rich",
    "msgspec",
    "bcc",
    "netprobe.run.schema.tables",
    "netprobe.analysis",
}
CODE = """
import sys
from netprobe.commands.shared import recording
recording.tell = lambda message: print(message.split()[0], *sorted(set(sys.modules)), file=sys.stderr)
from netprobe.cli import main
main()
"""


@pytest.mark.parametrize("command", ["syscalls", "switches", "locality", "busypoll", "threads", "record"])
def test_nothing_slow_is_imported_before_attaching(command, tmp_path):
    options = ["-o", str(tmp_path / "run")] if command == "record" else []
    arguments = [sys.executable, "-c", CODE, command, "-d", "0.2", *options, "--", "sleep", "9"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    word, *modules = lines[0].split()
    assert word == "Attached"
    assert not SLOW & set(modules)
    # The last message is that of the cost, after the result.
    assert "pandas" not in lines[-1].split()
