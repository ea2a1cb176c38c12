import pytest

from netprobe.engine.options import RecordOptions


@pytest.mark.parametrize(
    ("options", "words", "machine"),
    [
        (RecordOptions(), "the whole machine", True),
        (RecordOptions(pids=(7,)), "process 7", False),
        (RecordOptions(pids=(7, 9), comm="nginx"), "process 7, 9 and processes named nginx", False),
        (RecordOptions(comm="nginx"), "processes named nginx", False),
        (RecordOptions(command=("sleep", "5")), "`sleep 5`", False),
    ],
)
def test_description_of_the_target(options, words, machine):
    assert options.describe() == words
    assert options.whole_machine is machine
