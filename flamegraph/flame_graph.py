"""FlameGraph: a Profile that draws, tabulates and writes itself; what `flamegraph.read` returns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flamegraph.profile import Profile

if TYPE_CHECKING:
    from flamegraph.tree import TopRow, Tree


class FlameGraph(Profile):
    """A Profile with its call tree, its table of functions and its pictures. Shows itself in a notebook.

    `FlameGraph.of(profile)` makes one of any Profile.
    """

    @classmethod
    def of(cls, profile: Profile) -> FlameGraph:
        """The same data as a flame graph."""
        return cls(profile.frames, profile.stacks, profile.threads, profile.samples, profile.info)

    def tree(self, root: str = "comm") -> Tree:
        """The call tree, with one node per process or thread below its root: root "comm", "pid", "tid" or "none"."""
        from flamegraph.tree import build

        return build(self, root)

    def top(self, rows: int = 30) -> list[TopRow]:
        """The functions with the largest self weight, heaviest first; `rows`: 0 for all."""
        from flamegraph.tree import top

        return top(self, rows)

    def write(self, path: str | Path, **options: Any) -> None:
        """Write to a file in the format of its suffix: .html, .svg, .folded, .pb.gz, .speedscope.json.

        `options`: fields of `flamegraph.writers.WriteOptions`, such as `title`.
        """
        from flamegraph.writers import WriteOptions, write

        write(self, Path(path), WriteOptions(**options))

    def _repr_html_(self) -> str:
        from flamegraph.writers.html import embedded

        return embedded(self)
