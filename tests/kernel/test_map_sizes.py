"""C structures and their NumPy types: a difference is an error that names the map and both sizes."""

import re

import pytest

from netprobe.engine.bpf import BpfMap
from netprobe.engine.counting import open_reader
from netprobe.engine.maps import HashReader, MappedArray, Numbers
from netprobe.engine.options import RecordOptions
from netprobe.engine.program import Program
from netprobe.errors import NetprobeError
from netprobe.probes import all_probes, sockets
from netprobe.probes.base import KeyedCounters, ThreadCounters
from netprobe.probes.switches import Probe as Switches

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def program():
    probes = [probe() for probe in all_probes().values()]
    compiled = Program(probes, RecordOptions(slots=1024))
    compiled.load()
    yield compiled
    compiled.close()


def test_every_map_of_every_probe_has_the_sizes_of_its_types(program):
    for probe in (probe() for probe in all_probes().values()):
        for counters in probe.counters():
            open_reader(program, counters).close()
        for scratch in probe.scratch():
            MappedArray(program.map(scratch.map), Numbers("u8", (scratch.words,))).close()


def test_sizes_of_a_map(program):
    found = program.map("next_tasks")
    assert (found.name, found.key_size, found.value_size, found.entries) == ("next_tasks", 12, 40, 16384)


@pytest.mark.parametrize(
    ("counters", "message"),
    [
        (KeyedCounters("next_tasks", (("cpu", "u4"),), 2, (("tid", "u8"), ("comm", "S16"))), "key .*12 bytes.* and 8 "),
        (
            KeyedCounters("next_tasks", (("cpu", "u4"), ("tid", "u4")), 2, (("tid", "u8"),)),
            "value .*40 bytes.* and 24 ",
        ),
        (ThreadCounters("thread_switches", 3), "value .*16 bytes.* and 24 "),
    ],
)
def test_a_wrong_type_is_refused(program, counters, message):
    with pytest.raises(NetprobeError, match=f"The {message}in the Python code") as error:
        open_reader(program, counters)
    assert f"of the map {counters.map} " in error.value.message
    assert error.value.hint


def test_a_probe_with_a_wrong_type_records_nothing():
    from netprobe.engine.recorder import Recorder

    class Wrong(Switches):
        def counters(self):
            first, *others = super().counters()
            return (ThreadCounters(first.map, first.width + 1), *others)

    with pytest.raises(NetprobeError, match=r"map thread_switches has 16 bytes in the C code and 24 in the Python"):
        Recorder(RecordOptions(command=("sleep", "9")), [Wrong()]).run()


def test_a_record_with_a_wrong_size_is_not_compiled(monkeypatch):
    monkeypatch.setattr(sockets, "PROGRAM_RECORD_SIZE", sockets.PROGRAM_RECORD_SIZE + 8)
    program = Program([sockets.Probe()], RecordOptions(slots=1024))
    try:
        with pytest.raises(NetprobeError, match=r"program_record differs from probes/sockets\.py"):
            program.load()
    finally:
        program.close()


def test_arrays_and_hashes_name_the_map():
    described = BpfMap("threads", -1, 4, 48, 1024)
    number = Numbers("u8")
    for opening in (lambda: MappedArray(described, number), lambda: HashReader(described, Numbers("u4"), number)):
        with pytest.raises(NetprobeError, match=re.escape("value of the map threads has 48 bytes")):
            opening()
