"""Profiles in, flame graphs and diffs out. Stands alone: no root, no BPF, no netprobe.

import flamegraph
flamegraph.read("perf.data").filter(thread="nginx").write("nginx.html")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flamegraph.errors import BrokenProfileError, ProfileError
    from flamegraph.profile import Profile
    from flamegraph.readers import ReadOptions, read

__all__ = ["BrokenProfileError", "Profile", "ProfileError", "ReadOptions", "read"]

_HOMES = {
    "BrokenProfileError": "flamegraph.errors",
    "Profile": "flamegraph.profile",
    "ProfileError": "flamegraph.errors",
    "ReadOptions": "flamegraph.readers",
    "read": "flamegraph.readers",
}


def __getattr__(name: str) -> object:
    """Import on first use: `import flamegraph` costs nothing."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'flamegraph' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
