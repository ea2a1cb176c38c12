"""Classic BPF steering programs. Tests on the kernel verify that it executes them in the same way."""

import signal

import pytest

from netprobe.analysis.classic_bpf import describe, index_by_cpu

LOAD_CPU = (0x20, 0, 0, 0xFFFFF024)
RETURN_A = (0x16, 0, 0, 0)
LOAD_WORD, LOAD_HALF_INDEXED, LOAD_LENGTH, LOAD_RANDOM = (
    (0x20, 0, 0, 12), (0x48, 0, 0, 0), (0x80, 0, 0, 0), (0x20, 0, 0, 0xFFFFF038),
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_endless_loop():
    signal.alarm(5)
    yield
    signal.alarm(0)


def jump_table(*indexes):
    """CPU c → indexes[c], else 99."""
    program = [LOAD_CPU]
    for cpu, index in enumerate(indexes):
        program += [(0x15, 0, 1, cpu), (0x06, 0, 0, index)]
    return [*program, (0x06, 0, 0, 99)]


@pytest.mark.parametrize(
    ("program", "description"),
    [
        ([LOAD_CPU, RETURN_A], "returns the CPU number"),
        ([LOAD_CPU, (0x94, 0, 0, 4), RETURN_A], "returns the CPU number modulo 4"),
        ([LOAD_CPU, (0x94, 0, 0, 3), RETURN_A], "returns the CPU number modulo 3"),
        ([LOAD_CPU, (0x54, 0, 0, 7), RETURN_A], "returns the CPU number modulo 8"),
        ([LOAD_CPU, (0x94, 0, 0, 100), RETURN_A], "returns the CPU number modulo 100"),
        (jump_table(0, 2, 1, 3), "a function of the CPU number (CPU 0 → 0, CPU 1 → 2, CPU 2 → 1, CPU 3 → 3)"),
        ([LOAD_WORD, RETURN_A], "not a function of the CPU number (2 instructions)"),
        ([LOAD_CPU, (0x94, 0, 0, 2), (0x04, 0, 0, 1), RETURN_A],
         "a function of the CPU number (CPU 0 → 1, CPU 1 → 2, CPU 2 → 1, CPU 3 → 2)"),
    ],
)  # fmt: skip
def test_the_description_of_a_program(program, description):
    assert describe(program, [0, 1, 2, 3], 100 if "100" in description else 4) == description


def test_a_constant_index_is_no_modulus():
    """`modulo 1` would be true but hard to understand."""
    assert describe([(0x06, 0, 0, 0)], [0, 1], 4) == "returns 0"


def test_a_jump_table():
    assert index_by_cpu(jump_table(0, 2, 1, 3), [0, 1, 2, 3, 4]) == {0: 0, 1: 2, 2: 1, 3: 3, 4: 99}


@pytest.mark.parametrize(
    "program",
    [
        [LOAD_WORD, RETURN_A],
        [LOAD_HALF_INDEXED, RETURN_A],
        [LOAD_LENGTH, RETURN_A],
        [LOAD_RANDOM, RETURN_A],
        [(0xB1, 0, 0, 14), (0x87, 0, 0, 0), RETURN_A],  # X = the length of the IP header
        # The path of one CPU only reads the packet.
        [LOAD_CPU, (0x15, 1, 0, 0), LOAD_WORD, RETURN_A],
    ],
)
def test_programs_that_read_the_packet(program):
    assert index_by_cpu(program, [0, 1]) is None
    assert "not a function of the CPU number" in describe(program, [0, 1], 2)


@pytest.mark.parametrize(
    "program",
    [
        [],
        [LOAD_CPU],
        [LOAD_CPU, (0x05, 0, 0, 7)],
        [LOAD_CPU, (0x05, 0, 0, 0xFFFFFFFE), RETURN_A],  # backwards, if it were signed
        [LOAD_CPU, (0x05, 0, 0, 0xFFFFFFFF)],
        [LOAD_CPU, (0x15, 200, 200, 0), RETURN_A],
        [(0x60, 0, 0, 16), RETURN_A],
        [LOAD_CPU, (0x02, 0, 0, 99), RETURN_A],
        [LOAD_CPU, (0xB4, 0, 0, 0), RETURN_A],  # no such operation
        [LOAD_CPU, (0x55, 0, 0, 0), RETURN_A],  # no such comparison
        [(0xFFFF, 255, 255, 0xFFFFFFFF)] * 24,
        [(0, 0, 0, 0)] * 24,
    ],
)
def test_invalid_programs(program):
    """The kernel does not accept them; a reader of memory that changes meanwhile may see them."""
    assert index_by_cpu(program, [0, 1]) is None
    assert describe(program, [0, 1], 2).startswith("not a function")


def test_every_program_of_two_instructions_ends():
    for code in range(256):
        for second in (0x16, 0x05, code):
            program = [(code, 0, 0, 0), (second, 0, 0, 0), RETURN_A]
            found = index_by_cpu(program, [0, 1, 63])
            assert found is None or set(found) == {0, 1, 63}
