"""The BCC compiler, in a child process: found in the system's Python packages, kept from reading /proc/kallsyms."""

from __future__ import annotations

import ctypes
import glob
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import ModuleType

from netprobe.engine.bpf import definition_of
from netprobe.engine.stored_program import Function, StoredProgram
from netprobe.errors import NotPossibleHereError
from netprobe.resources import resource

# Debian and Ubuntu, Fedora, Arch, a build from source.
_FOLDERS = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/lib64/python3*/site-packages",
    "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
)

_INSTALL = (
    "Install it with the system's package manager, not with pip:\n"
    "  Debian, Ubuntu:  apt install python3-bpfcc\n"
    "  Fedora:          dnf install python3-bcc\n"
    "  Arch:            pacman -S python-bcc"
)
_LIBRARIES = ("libbcc", "libclang", "libLLVM")

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_SYMBOLS = b"0000000000000001 T bpf_probe_read_kernel\n0000000000000002 T bpf_probe_read_user\n"


# ---- Import ----


def import_bcc(folders: tuple[str, ...] = _FOLDERS) -> ModuleType:
    """The system's `bcc` package, set up to compile against netprobe's own headers.

    Raises `NotPossibleHereError` that names the system package when it is missing or unusable.
    """
    # BCC reads the variable when it compiles, so it must be set before the first program.
    os.environ["BCC_KERNEL_SOURCE"] = str(resource("bpf"))
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    for folder in (folder for pattern in folders for folder in sorted(glob.glob(pattern))):
        if not _has_bpf_compiler(folder):
            continue
        try:
            return _import_from(folder)
        except (ImportError, OSError, AttributeError, SyntaxError) as error:
            raise NotPossibleHereError(
                f"BCC in {folder} cannot be loaded: {error}.",
                hint=_INSTALL.replace("Install", "Reinstall", 1),
            ) from error
    raise NotPossibleHereError(_missing_message(), hint=_INSTALL)


def _has_bpf_compiler(folder: str) -> bool:
    # PyPI has an unrelated mathematics package of the same name.
    return os.path.exists(os.path.join(folder, "bcc", "libbcc.py"))


def _import_from(folder: str) -> ModuleType:
    package = os.path.join(folder, "bcc")
    spec = importlib.util.spec_from_file_location(
        "bcc", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python package in {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for name in [name for name in sys.modules if name == "bcc" or name.startswith("bcc.")]:
            del sys.modules[name]
        raise
    return module


def _missing_message() -> str:
    if importlib.util.find_spec("bcc") is not None:
        return (
            "BCC, the BPF compiler that netprobe uses, is not installed: the `bcc` that Python finds is "
            "PyPI's unrelated mathematics package."
        )
    return "BCC, the BPF compiler that netprobe uses, is not installed."


# ---- Compilation ----


def compile_source(source: str) -> StoredProgram:
    """Compile; raises whatever BCC raises, after messages on standard error. BCC also creates the maps."""
    bcc = import_bcc()
    module, lib = bcc.BPF(text=source.encode()).module, bcc.lib
    lib.bpf_table_name.restype, lib.bpf_table_name.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_size_t]
    lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
    tables = [lib.bpf_table_name(module, number) for number in range(lib.bpf_num_tables(module))]
    descriptors = {name.decode(): int(lib.bpf_table_fd(module, name)) for name in tables}
    names = {fd: name for name, fd in descriptors.items()}
    functions = {}
    for number in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, number)
        code = ctypes.string_at(lib.bpf_function_start(module, name), lib.bpf_function_size(module, name))
        functions[name.decode()] = Function.of(name.decode(), code, names)
    maps = {name: definition_of(fd) for name, fd in descriptors.items()}
    return StoredProgram(maps, functions, tuple(_compiler_files()))


def _compiler_files() -> Iterator[tuple[str, int, int]]:
    """(path, size, time of the last change) of the libraries that compiled: an update may generate other code."""
    with open("/proc/self/maps") as lines:
        paths = {line.split(None, 5)[5].rstrip("\n") for line in lines if line.count("/")}
    for path in sorted(paths):
        if os.path.basename(path).startswith(_LIBRARIES):
            found = os.stat(path)
            yield path, found.st_size, found.st_mtime_ns


# ---- Kernel symbols ----


def mask_kallsyms() -> bool:
    """Hide /proc/kallsyms from the calling process, permanently; return whether that was allowed.

    BCC reads /proc/kallsyms to find out whether the kernel has `bpf_probe_read_kernel`: five megabytes, a quarter of
    the time of a compilation. Every kernel with BTF iterators (5.8) has the helper, so the compiling process gets its
    own mount namespace in which the file has two lines. The namespace ends with the process and is invisible to others.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        return False
    import tempfile

    try:
        fd, path = tempfile.mkstemp(prefix="netprobe-kallsyms-")
    except OSError:
        return False
    try:
        os.write(fd, _SYMBOLS)
        return int(libc.mount(os.fsencode(path), b"/proc/kallsyms", None, _MS_BIND, None)) == 0
    except OSError:
        return False
    finally:
        os.close(fd)
        os.unlink(path)
