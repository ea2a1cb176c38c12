"""The tables of a profile: the way back, and tables that do not fit together."""

from pathlib import Path

import numpy as np
import pytest

import flamegraph
from netprobe.errors import NetprobeError
from netprobe.run.profile import TABLES, has_profile, profile_tables, read_profile
from netprobe.run.store import read_run
from netprobe.run.table import Table

RUN = Path(__file__).parents[1] / "data" / "runs" / "recv"


def changed(name, **columns):
    tables = dict(read_run(RUN).tables)
    tables[name] = Table(name, {**tables[name].columns, **columns})
    return tables


def test_a_profile_is_the_same_after_tables():
    profile = read_profile(read_run(RUN).tables)
    again = read_profile({table.name: table for table in profile_tables(profile)})
    assert isinstance(again, flamegraph.Profile)
    assert again.info == profile.info
    assert again.frames == profile.frames
    assert again.total == profile.total


def test_no_profile():
    assert not has_profile({})
    with pytest.raises(NetprobeError, match="This Run has no stacks") as error:
        read_profile({name: Table(name, {}) for name in TABLES[1:]})
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "column", "wrong", "message"),
    [
        ("profile_samples", "stack", 9999, "column stack is out of range: 9999, expected a row of profile_stacks"),
        ("profile_samples", "thread", -1, "column thread is out of range: -1, expected a row of profile_threads"),
        ("profile_frames", "kind", "animal", "column kind has the unknown kind 'animal'"),
        ("profile_info", "info", "{", "column info: "),
        ("profile_info", "info", '{"event": 5}', "column info: "),
    ],
)
def test_a_value_that_does_not_fit_is_refused(name, column, wrong, message):
    values = np.array(read_run(RUN).tables[name].columns[column], object)
    values[0] = wrong
    with pytest.raises(NetprobeError) as error:
        read_profile(changed(name, **{column: values}))
    assert error.value.message.startswith(f"The table {name} is corrupt: {message}")


def test_a_frame_of_a_stack_that_does_not_exist_is_refused():
    stacks = list(read_run(RUN).tables["profile_stacks"].columns["frames"])
    stacks[0] = np.array([0, 100_000])
    with pytest.raises(NetprobeError, match=r"column frames is out of range: 100000, expected a row of profile_frames"):
        read_profile(changed("profile_stacks", frames=stacks))


def test_the_error_names_the_file_of_a_run():
    tables = read_run(RUN).tables
    tables["profile_frames"].columns["kind"][0] = "animal"
    with pytest.raises(NetprobeError) as error:
        read_profile(tables)
    assert str(RUN / "profile_frames.parquet") in error.value.message
