"""Profiles in, flame graphs and differences out. Stand-alone: needs no root, no BPF and no netprobe.

import flamegraph
flamegraph.read("perf.data").filter(thread="nginx").write("nginx.html")
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from flamegraph.errors import BrokenProfileError, ProfileError
    from flamegraph.flame_graph import FlameGraph
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions, read

__all__ = ["BrokenProfileError", "FlameGraph", "Profile", "ProfileError", "ReadOptions", "read"]

_MODULES = {
    "BrokenProfileError": "flamegraph.errors",
    "FlameGraph": "flamegraph.flame_graph",
    "Profile": "flamegraph.profile",
    "ProfileError": "flamegraph.errors",
    "ReadOptions": "flamegraph.readers",
    "read": "flamegraph.readers",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import flamegraph` stays cheap."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'flamegraph' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
