"""Formats are discovered; a text is imported without the modules that read binary profiles."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from netprobe.importers import registry

STRACE = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010           1        10           read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010           1        10           total
"""


def test_duplicate_format_names_both_modules(monkeypatch):
    first, second = (SimpleNamespace(FORMAT="strace -c", HINTS=()) for _ in range(2))
    monkeypatch.setattr(registry, "_modules", lambda: iter([("strace", first), ("strace_again", second)]))
    registry.text_formats.cache_clear()
    try:
        with pytest.raises(ValueError, match="'strace -c' of strace_again is already read by strace"):
            registry.text_formats()
    finally:
        registry.text_formats.cache_clear()


def test_strace_summary_is_imported_without_the_modules_of_profiles(tmp_path):
    (tmp_path / "strace.txt").write_text(STRACE)
    program = (
        "import sys\n"
        "from netprobe.importers.reading import read_reports\n"
        f"(report,) = read_reports({str(tmp_path / 'strace.txt')!r})\n"
        "assert report.format == 'strace -c'\n"
        "print(*(name for name in sys.modules if name.startswith('flamegraph.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert not [name for name in loaded if name.startswith("flamegraph.readers.perfdata.")]
    assert not loaded & {"flamegraph.builder", "flamegraph.symbols", "flamegraph.profile"}
