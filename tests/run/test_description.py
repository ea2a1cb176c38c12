"""Fields of run.json with a wrong type are refused with the name of file and field; optional fields get defaults."""

import json
import math
import shutil
from pathlib import Path

import pytest

import netprobe
from netprobe.errors import NetprobeError
from netprobe.run.description import RunInfo, parse_info
from netprobe.run.versions import upgraded_info

RUN = Path(__file__).parent.parent / "data" / "runs" / "recv-few-probes"
WHOLE = upgraded_info(json.loads((RUN / "run.json").read_text()), 2)
IMPORTED = {"reports": [], "notes": [], "unknown": [], "only_most_frequent": False}
FILE = Path("run.json")


def with_field(path, value):
    """The description with another value at this path; ... removes it."""
    found = json.loads(json.dumps(WHOLE | {"requests": {"count": 100, "source": "wrk"}, "imported": IMPORTED}))
    *parents, name = path.split(".")
    within = found
    for parent in parents:
        within = within[parent]
    if value is ...:
        del within[name]
    else:
        within[name] = value
    return found


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("tables", [None, 5, {"a": 1}, [5], ...]),
        ("recording", [None, [], "x", ...]),
        ("recording.seconds", [0, -1, "4", True, math.nan, math.inf, [], ...]),
        ("recording.elapsed_seconds", [0, -1, "9", True, math.nan, []]),
        ("recording.started", [5, {}]),
        ("target", [None, [], ...]),
        ("target.description", [None, 5, ...]),
        ("host", [None, [], "lab", 5]),
        ("host.hostname", [5, []]),
        ("host.boot_parameters", [5, ["quiet"]]),
        ("host.cpus_online", [2, [0, 1]]),
        ("probes", [None, "syscalls", {"syscalls": 1}, [5]]),
        ("attach_mechanisms", [None, [], {"samples": 5}]),
        ("dropped", [None, "x", [None]]),
        ("unavailable", [None, 0]),
        ("requests", ["x", 100, []]),
        ("requests.count", [None, "100", -1, math.nan, True, ...]),
        ("requests.source", [None, 5, ...]),
        ("imported", ["x", True, []]),
        ("imported.unknown", [None, "x"]),
        ("imported.only_most_frequent", [None, 1]),
        ("cost", [None, []]),
        ("cost.programs", [None, [5], [{"run_cnt": "x"}], [{"mean_ns": []}]]),
    ],
)
def test_a_wrong_type_is_refused_with_the_name_of_the_field(path, values):
    for value in values:
        with pytest.raises(NetprobeError) as error:
            parse_info(with_field(path, value), FILE)
        assert error.value.message.startswith("run.json is corrupt: "), value
        assert path in error.value.message


def test_optional_fields_get_defaults():
    names = (
        "host",
        "probes",
        "attached",
        "attach_mechanisms",
        "unavailable",
        "dropped",
        "requests",
        "imported",
        "cost",
    )
    whole = parse_info({name: value for name, value in WHOLE.items() if name not in names}, FILE)
    assert whole.host.cpus_online is None
    assert (whole.probes, whole.dropped, whole.attach_mechanisms) == ([], [], {})
    assert whole.requests is None
    assert whole.imported is None


def test_the_content_that_was_passed_is_not_changed():
    given = with_field("host", ...)
    parse_info(given, FILE)
    assert "host" not in given


def test_only_an_imported_run_may_have_no_length():
    found = with_field("recording.seconds", None)
    assert parse_info(found, FILE).recording.seconds is None
    del found["imported"]
    with pytest.raises(NetprobeError, match=r"recording\.seconds is null, and the Run was not imported"):
        parse_info(found, FILE)


def test_zero_requests_give_rates_per_second(tmp_path):
    """As from a load generator without any answered request."""
    shutil.copytree(RUN, tmp_path / "run")
    document = WHOLE | {"requests": {"count": 0, "source": "wrk"}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    run = netprobe.load(tmp_path / "run")
    assert netprobe.compare(run, netprobe.load(RUN)).per == "second"
    assert isinstance(run.findings(), list)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("host.kernel", 6.1, "host.kernel is 6.1: expected `str | null`, got `float`"),
        ("recording.seconds", ..., "recording.seconds is missing"),
        ("recording.intervals", -1, "recording.intervals is -1: expected `int` >= 0"),
        ("dropped", ["a", 5], "dropped[1] is 5: expected `str`, got `int`"),
    ],
)
def test_the_message_names_the_field_and_its_value(path, value, message):
    with pytest.raises(NetprobeError) as error:
        parse_info(with_field(path, value), FILE)
    assert error.value.message == f"run.json is corrupt: {message}."


def test_unknown_fields_are_ignored():
    assert isinstance(parse_info(WHOLE | {"a_later_field": 1}, FILE), RunInfo)
