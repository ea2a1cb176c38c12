"""Probes are found by their files."""

import pytest

from netprobe import probes
from netprobe.probes import all_probes
from netprobe.run.schema.tables import TABLES


def test_every_file_with_a_probe_is_found(checkout):
    found = all_probes()
    assert list(found) == [
        "busypoll",
        "locality",
        "serving",
        "sockets",
        "stacks",
        "switches",
        "syscalls",
        "thread_time",
    ]
    for name, probe in found.items():
        assert probe.__module__ == f"netprobe.probes.{name}"
        assert (checkout / "bpf" / probe.source).exists()


def test_a_duplicate_name_names_its_owner(tmp_path, monkeypatch):
    (tmp_path / "another.py").write_text("class Probe:\n    name = 'switches'\n")
    monkeypatch.setattr(probes, "__path__", [*probes.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"probe 'switches' of another\.py is defined in netprobe\.probes\.switches"):
        all_probes()


def test_declared_tables_name_probes_that_exist():
    names = {name for table in TABLES.values() for name in table.probe.split(", ") if name}
    assert names <= set(all_probes())
