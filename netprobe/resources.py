"""Location of files that are not Python: next to the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Directory `name` (`bpf`, `dashboards`). In a checkout it is the source directory, so that edits take effect."""
    source = _PACKAGE.parent / name
    return source if (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / name
