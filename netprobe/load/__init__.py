"""Load generators: start and pace them, parse their reports, keep their rounds, and check the machine's steadiness.

Importing this package binds the name `netprobe.load`, which is also the function that reads a Run. The package is
therefore callable, and calling it reads a Run.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

# While this package is being imported the name is still the function's.
from netprobe import load as _read_run

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, path: str | Path) -> Any:
        return _read_run(path)


sys.modules[__name__].__class__ = _CallablePackage
