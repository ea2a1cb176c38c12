"""The Runs that are kept with the code: of the machine that they were recorded on they say only what matters."""

import json

import pytest


@pytest.mark.parametrize("folder", ["tests/data/runs", "dashboards/runs"])
def test_nothing_of_the_machine_that_says_nothing_about_speed(checkout, folder):
    runs = sorted((checkout / folder).rglob("run.json"))
    assert runs
    for path in runs:
        host = json.loads(path.read_text())["host"]
        assert host["hostname"] == "lab"
        # As `neutral()` in scripts/record_examples.py leaves it.
        assert all("mitigations" in word for word in host["boot_parameters"].split()), path
