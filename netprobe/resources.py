"""Where the files are that are not Python: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Directory `name` (`bpf`, `dashboards`); the checkout's own first, so that an edit shows at once."""
    beside = _PACKAGE.parent / name
    return beside if (_PACKAGE.parent / "pyproject.toml").exists() else _PACKAGE / name
