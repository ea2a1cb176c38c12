"""Programs that are compiled for the tests, and the output of binutils for them."""

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

for _tool in ("gcc", "g++", "objcopy", "strip", "nm", "readelf"):
    if shutil.which(_tool) is None:
        pytest.skip(f"needs {_tool} (binutils, gcc, g++)", allow_module_level=True)

Build = Callable[..., Path]

SOURCES = {
    "plain.c": """
        #include <stdio.h>
        static int __attribute__((noinline)) inner(int x) { return printf("%d", x) * 3; }
        int outer(int x) { return inner(x) + 1; }
        int other(int x) __attribute__((weak, alias("outer")));
        static void *pick(void) { return outer; }
        int chosen(int) __attribute__((ifunc("pick")));
        int main(void) { return outer(3) + chosen(2) + puts("x"); }
        """,
    "words.cc": """
        #include <string>
        namespace shop {
        struct Basket { int total(const std::string &who, int n) const; int operator()(int n); };
        __attribute__((noinline)) int Basket::total(const std::string &who, int n) const { return who.size() + n; }
        __attribute__((noinline)) int Basket::operator()(int n) { return n * 7; }
        template <typename T> __attribute__((noinline)) T largest(T a, T b) { return a < b ? b : a; }
        template int largest<int>(int, int);
        }
        int main(int argc, char **argv) {
            shop::Basket basket;
            return basket.total(argv[0], argc) + basket(argc) + shop::largest(argc, 4);
        }
        """,
    "rusty.c": """
        int v0(int x) __asm__("_RNvNtCs1234_7mycrate5inner3run");
        int legacy(int x) __asm__("_ZN7mycrate5outer3run17h0123456789abcdefE");
        int escaped(int x) __asm__("_ZN36_$LT$shop..Cart$u20$as$u20$Total$GT$3sum17hfedcba9876543210E");
        __attribute__((noinline)) int v0(int x) { return x + 1; }
        __attribute__((noinline)) int legacy(int x) { return x + 2; }
        __attribute__((noinline)) int escaped(int x) { return x + 3; }
        int main(int argc, char **argv) { return v0(argc) + legacy(argc) + escaped(argc); }
        """,
    "bare.s": """
        .text
        .globl first
        first: nop; nop; nop; nop
        second: nop; nop
        .globl sized
        .type sized, @function
        sized: nop; nop
        label_within: nop; nop
        .size sized, . - sized
        .globl _start
        _start: nop; nop
        .section .apart, "ax"
        .balign 64
        late: nop; nop
        """,
}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile a source once: `build("plain.c", "-no-pie")`."""
    folder = tmp_path_factory.mktemp("programs")
    made: dict[tuple[str, ...], Path] = {}

    def compiled(source: str, *flags: str) -> Path:
        key = (source, *flags)
        if key not in made:
            text, target = folder / f"{len(made)}-{source}", folder / f"{len(made)}-{source}.out"
            text.write_text(SOURCES[source])
            compiler = "g++" if source.endswith(".cc") else "gcc"
            run(compiler, "-g", "-O1", "-Wl,--build-id=sha1", "-o", target, text, *flags)
            made[key] = target
        return made[key]

    return compiled


@pytest.fixture(scope="session")
def symbols_of() -> Callable[..., list[tuple[int, int, str, str]]]:
    """Address, size, type letter and name of each symbol, by `nm`."""

    def listed(path: Path | str, *options: str) -> list[tuple[int, int, str, str]]:
        found = []
        for line in run("nm", "-S", "--defined-only", *options, path).splitlines():
            columns = line.split(maxsplit=3)
            if len(columns) == 4 and len(columns[2]) == 1:
                found.append((int(columns[0], 16), int(columns[1], 16), columns[2], columns[3]))
            elif len(columns) == 3:
                found.append((int(columns[0], 16), 0, columns[1], columns[2]))
        return found

    return listed


@pytest.fixture(scope="session")
def offset_of() -> Callable[[Path | str, int], int]:
    """The file offset of an address, by the program headers that `readelf` prints."""
    known: dict[str, list[tuple[int, int, int]]] = {}

    def offset(path: Path | str, address: int) -> int:
        if str(path) not in known:
            rows = [line.split() for line in run("readelf", "-lW", path).splitlines() if line.startswith("  LOAD")]
            known[str(path)] = [(int(row[1], 16), int(row[2], 16), int(row[4], 16)) for row in rows]
        for begin, virtual, size in known[str(path)]:
            if virtual <= address < virtual + size:
                return address - virtual + begin
        raise AssertionError(f"{address:#x} is in no segment of {path}")

    return offset


@pytest.fixture(scope="session")
def build_id_of() -> Callable[[Path | str], bytes]:
    """The build-id that `readelf` prints."""

    def read(path: Path | str) -> bytes:
        line = next(line for line in run("readelf", "-nW", path).splitlines() if "Build ID:" in line)
        return bytes.fromhex(line.split()[-1])

    return read


@pytest.fixture(scope="session")
def make_elf() -> Callable[..., bytes]:
    """A small ELF file of any word size and byte order: one segment of code at `base` and a `.symtab`."""

    def elf(
        functions: list[tuple[str, int, int]], *, wide: bool = True, order: str = "<", base: int = 0x10000
    ) -> bytes:
        word = "Q" if wide else "I"
        header_size, ph_size, sh_size = (64, 56, 64) if wide else (52, 32, 40)
        code_at = 0x1000
        strings = b"\0" + b"".join(name.encode() + b"\0" for name, _, _ in functions)
        rows, at = [bytes(24 if wide else 16)], 1
        for name, address, size in functions:
            if wide:
                rows.append(struct.pack(order + "IBBHQQ", at, 0x12, 0, 1, address, size))
            else:
                rows.append(struct.pack(order + "IIIBBH", at, address, size, 0x12, 0, 1))
            at += len(name.encode()) + 1
        table = b"".join(rows)
        names = b"\0.text\0.symtab\0.strtab\0"
        table_at = code_at + 0x1000
        strings_at = table_at + len(table)
        names_at = strings_at + len(strings)
        sections_at = names_at + len(names)
        section = order + f"II{word * 4}II{word * 2}"
        sections = struct.pack(section, *[0] * 10)
        sections += struct.pack(section, 1, 1, 6, base + code_at, code_at, 0x1000, 0, 0, 16, 0)
        sections += struct.pack(section, 7, 2, 0, 0, table_at, len(table), 3, 1, 8, 24 if wide else 16)
        sections += struct.pack(section, 15, 3, 0, 0, strings_at, len(strings), 0, 0, 1, 0)
        sections += struct.pack(section, 15, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
        fields = (3, 62 if wide else 20, 1, 0, header_size, sections_at, 0, header_size, ph_size, 1, sh_size, 5, 4)
        header = ident + struct.pack(order + f"HHI{word * 3}I6H", *fields)
        span = (code_at, base + code_at, base + code_at, 0x1000, 0x1000)
        segment = (
            struct.pack(order + "II6Q", 1, 5, *span, 4096) if wide else struct.pack(order + "8I", 1, *span, 5, 4096)
        )
        data = (header + segment).ljust(table_at, b"\x90")
        return data + table + strings + names + sections

    return elf
