"""Finds the distribution's `bcc` package from any Python, and imports nothing else from there."""

from __future__ import annotations

import glob
import importlib.util
import os
import sys
from types import ModuleType

from netprobe.errors import NotPossibleHereError
from netprobe.resources import resource

# Debian and Ubuntu, Fedora, Arch, a build from source.
_PLACES = (
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


def _is_the_real_one(folder: str) -> bool:
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


def import_bcc(places: tuple[str, ...] = _PLACES) -> ModuleType:
    """The system's `bcc` package, set up to compile against netprobe's own headers.

    Raises `NotPossibleHereError` that names the system package when it is missing, or unusable.
    """
    # BCC reads it when it compiles, so it must stand before the first program.
    os.environ["BCC_KERNEL_SOURCE"] = str(resource("bpf"))
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    for folder in (folder for pattern in places for folder in sorted(glob.glob(pattern))):
        if not _is_the_real_one(folder):
            continue
        try:
            return _import_from(folder)
        except (ImportError, OSError, AttributeError, SyntaxError) as error:
            raise NotPossibleHereError(
                f"BCC in {folder} cannot be loaded: {error}.",
                hint=_INSTALL.replace("Install", "Reinstall", 1),
            ) from error
    raise NotPossibleHereError(_missing_message(), hint=_INSTALL)


def _missing_message() -> str:
    if importlib.util.find_spec("bcc") is not None:
        return (
            "BCC, the BPF compiler that netprobe uses, is not installed: the `bcc` that Python finds is "
            "PyPI's unrelated mathematics package."
        )
    return "BCC, the BPF compiler that netprobe uses, is not installed."
