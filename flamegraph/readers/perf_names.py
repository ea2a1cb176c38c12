"""How frames of `perf script` text are named: as FlameGraph's collapser names them."""

from __future__ import annotations

import re
from functools import lru_cache

from flamegraph.frames import UNKNOWN, Frame, Kind
from flamegraph.readers.perf_lines import RawFrame

_OFFSET = re.compile(r"\+0x[0-9a-f]+\Z")
_BRACKETS = re.compile(r"operator(?:<=>|<<=?|>>=?|->\*?|[<>]=?)|->|[<>{}]|(?<!\.)\((?!anonymous namespace\))")
_DEPTH = {"<": 1, "{": 1, ">": -1, "}": -1}
_QUOTES = str.maketrans("", "", "\"'")
_JIT = re.compile(r"/perf-\d+\.map\Z|/jitted-\d+-\d+\.so\Z|\A\[JIT\]")
_KERNEL = re.compile(r"\A\[(?:guest\.)?kernel\b|(?:\A|/)vmlinux[^/]*\Z|\.ko(?:\.(?:gz|xz|zst))?\Z|\Abpf_prog_")
_USER_BRACKETS = re.compile(r"\A\[(?:vdso|vsyscall|vectors|uprobes|heap|stack|anon|unknown|JIT)", re.IGNORECASE)
_ONE_KERNEL = re.compile(r"\A\[(?:guest\.)?kernel\.(?:kallsyms|vmlinux)\]|(?:\A|/)vmlinux[^/]*\Z")
_KERNEL_HALF = "8"


def frames_of(raw: RawFrame, *, java: bool, addresses: bool) -> list[Frame]:
    """The frames of one line, caller first: a JIT's `a->b` is b inlined into a. Empty for names like `(comm)`."""
    symbol = _OFFSET.sub("", raw.symbol)
    if symbol.startswith("(") and not symbol.startswith("(anonymous namespace)"):
        return []
    kind = kind_of_module(raw.module)
    if not raw.module and len(raw.address) == 16 and raw.address >= _KERNEL_HALF:
        kind = Kind.KERNEL
    module = "[kernel]" if _ONE_KERNEL.search(raw.module) else raw.module
    if symbol in ("", UNKNOWN):
        return [Frame(_without_name(raw, addresses), "" if module == UNKNOWN else module, Kind.UNKNOWN)]
    if symbol.isspace():
        # FlameGraph's name for it too.
        return [Frame(" ", module, Kind.UNKNOWN)]
    if raw.module == "inlined":
        return [Frame(tidy(symbol, java=java), "", Kind.INLINED)]
    if "->" not in symbol or (module and kind is not Kind.JIT):
        return [Frame(tidy(symbol, java=java), module, kind)]
    first, *inlined = symbol.split("->")
    return [Frame(tidy(first, java=java), module, kind)] + [
        Frame(tidy(name, java=java), module, Kind.INLINED) for name in inlined
    ]


def tidy(symbol: str, *, java: bool) -> str:
    """`v8::Call(int)` → `v8::Call`, without quotes and `;`; of Java `Ljava/io/Print;::out` → `java/io/Print:::out`."""
    name = symbol.replace(";", ":")
    if "(" in name:
        name = name[: _parameters(name)]
    name = name.translate(_QUOTES)
    return name.removeprefix("L") if java and "/" in name else name


def _parameters(name: str) -> int:
    """Where the parameters begin: at the first bracket that is in no template's arguments and in no lambda's name
    (FlameGraph's collapser, unlike inferno's, cuts there too), and not Go's: `net/http.(*Client).Do`.
    """
    depth = 0
    for found in _BRACKETS.finditer(name):
        if found[0] == "(" and depth <= 0:
            return found.start()
        depth += _DEPTH.get(found[0], 0)
    return len(name)


@lru_cache(1024)
def kind_of_module(module: str) -> Kind:
    """What sort of code a module holds: `[kernel.kallsyms]`, `[nf_tables]`, `/tmp/perf-7.map`, `/bin/nginx`."""
    if _JIT.search(module):
        return Kind.JIT
    if _KERNEL.search(module) or (module.startswith("[") and not _USER_BRACKETS.search(module)):
        return Kind.KERNEL
    return Kind.USER


def _without_name(raw: RawFrame, addresses: bool) -> str:
    known = raw.module not in ("", UNKNOWN)
    name = raw.module.rpartition("/")[2] if known else "unknown"
    return f"[{name} <{raw.address}>]" if addresses else f"[{name}]"
