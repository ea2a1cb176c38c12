"""The recorded Runs of this repository contain no personal data of the machine."""

import json

import pytest


@pytest.mark.parametrize("folder", ["tests/data/runs", "dashboards/runs"])
def test_no_personal_data_of_the_machine(checkout, folder):
    runs = sorted((checkout / folder).rglob("run.json"))
    assert runs
    for path in runs:
        host = json.loads(path.read_text())["host"]
        assert host["hostname"] == "lab"
        # As `neutral()` in scripts/record_examples.py leaves it.
        assert all("mitigations" in word for word in host["boot_parameters"].split()), path
