"""Functions of the kernel."""

import os
from pathlib import Path

import numpy as np
import pytest

from flamegraph.frames import Frame, Kind
from flamegraph.symbols.kallsyms import KernelSymbols, running_build_id
from flamegraph.symbols.symbolizer import Symbolizer

TEXT = b"""\
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000000 D data_there
ffffffff81000100 t memcpy
ffffffff81000100 T __pi_memcpy
ffffffff81000200 D some_data
ffffffff81000300 t last_of_kernel
ffffffffc0000000 t nft_do_chain\t[nf_tables]
ffffffffc0000010 T nft_trace\t[nf_tables]
ffffffffc0800000 t bpf_prog_6deef7357e7b4530_count\t[bpf]
"""


def kernel_names(symbols, *addresses):
    return [one.name for one in Symbolizer().kernel_frames(np.array(addresses, np.uint64), symbols)]


def test_functions_modules_and_programs():
    symbols = KernelSymbols.parse(TEXT)
    base = 0xFFFFFFFF81000000
    assert kernel_names(symbols, base, base + 0xFF, base + 0x180, base + 0x200, base + 0x300) == [
        "startup_64", "startup_64", "__pi_memcpy", "[kernel]", "last_of_kernel",
    ]  # fmt: skip
    frames = Symbolizer().kernel_frames(np.array([0xFFFFFFFFC0000005, 0xFFFFFFFFC0800001, 0], np.uint64), symbols)
    assert frames == [
        Frame("nft_do_chain", "[nf_tables]", Kind.KERNEL),
        Frame("bpf_prog_6deef7357e7b4530_count", "[bpf]", Kind.KERNEL),
        Frame("[kernel]", "[kernel]", Kind.UNKNOWN),
    ]


def test_the_last_function_of_a_module_does_not_extend_to_the_next_module():
    symbols = KernelSymbols.parse(TEXT)
    assert kernel_names(symbols, 0xFFFFFFFFC0001FFF, 0xFFFFFFFFC0002000, 0xFFFFFFFF90000000) == [
        "nft_trace", "[kernel]", "[kernel]",
    ]  # fmt: skip


def test_zeros_are_hidden_addresses(tmp_path):
    path = tmp_path / "kallsyms"
    path.write_text("0000000000000000 T _text\n0000000000000000 t nft_trace\t[nf_tables]\n")
    symbols = KernelSymbols.read(path)
    assert symbols.hidden
    symbolizer = Symbolizer()
    frames = symbolizer.kernel_frames(np.array([0xFFFFFFFF81000000], np.uint64), symbols)
    assert frames == [Frame("[kernel]", "[kernel]", Kind.UNKNOWN)]
    assert "kptr_restrict" in symbolizer.notes()[0]
    assert "sysctl" in symbolizer.notes()[0]


def test_programs_of_the_recording_take_precedence():
    symbols = KernelSymbols.parse(TEXT).with_extra(
        [(0xFFFFFFFFC0800000, 0x40, "bpf_prog_ab_mine"), (2**64 - 4, 100, "wraps"), (0, 5, "nothing")]
    )
    assert kernel_names(symbols, 0xFFFFFFFFC080003F, 0xFFFFFFFFC0800040, 2**64 - 1, 2) == [
        "bpf_prog_ab_mine", "bpf_prog_6deef7357e7b4530_count", "[kernel]", "[kernel]",
    ]  # fmt: skip
    assert symbols.modules[-1] == "[bpf]"


def test_symbols_from_columns_and_relocated():
    symbols = KernelSymbols(np.array([0x1000, 0x1010], np.uint64), ["a", "b"], ["[kernel]", "[kernel]"])
    assert kernel_names(symbols.relocated(0x500), 0x1000, 0x1500, 0x1511) == ["[kernel]", "a", "b"]
    assert kernel_names(symbols.relocated(-0x500), 0xB00) == ["a"]
    assert (symbols.address_of("b"), symbols.address_of("c")) == (0x1010, None)
    assert kernel_names(KernelSymbols(np.zeros(0, np.uint64), [], []), 5) == ["[kernel]"]


@pytest.mark.parametrize(
    "truncated",
    [b"", b"\n", b"x", b"ffff", b"ffffffff81000000", b"ffffffff81000000 T", b"ffffffff81000000 T ", b"\xff" * 99],
)
def test_corrupt_lines_are_skipped_and_counted(truncated):
    symbols = KernelSymbols.parse(b"ffffffff80000000 T whole\n" + truncated)
    assert list(symbols.names) == ["whole"]
    assert symbols.corrupt == bool(truncated.strip(b"\n"))
    assert len(KernelSymbols.parse(truncated)) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to see the kernel's addresses")
def test_every_function_of_the_running_kernel_has_a_valid_name():
    symbols = KernelSymbols.read()
    if symbols.hidden:
        pytest.skip("kptr_restrict hides the addresses")
    known = {}
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, kind, name = line.split()[:3]
        # BPF programs come and go while other tests run.
        if kind in "TtWw" and not line.endswith("[bpf]"):
            known.setdefault(int(address, 16), set()).add(name)
    addresses = np.array(list(known), np.uint64)
    frames = Symbolizer().kernel_frames(addresses, symbols)
    assert len(known) > 10_000
    assert all(frame.name in known[address] for address, frame in zip(known, frames, strict=True))


def test_the_build_id_of_the_running_kernel():
    if not os.access("/sys/kernel/notes", os.R_OK):
        pytest.skip("this kernel has no /sys/kernel/notes")
    assert len(running_build_id() or b"") in (0, 16, 20)
    assert running_build_id(Path("/no/such")) is None
