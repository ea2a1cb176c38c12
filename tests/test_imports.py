"""The order of DESIGN.md: data flows one way, and only what renders or commands prints."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for package in ("netprobe", "flamegraph") for path in (ROOT / package).rglob("*.py"))

# Part -> what it may import of netprobe besides itself and the top level.
MAY_IMPORT = {
    "run": {"flamegraph"},
    "probes": {"flamegraph", "run"},
    "analysis": {"flamegraph", "run"},
    "rules": {"flamegraph", "run", "probes", "analysis"},
    "render": {"flamegraph", "run", "probes", "analysis", "rules", "importers", "load"},
    "engine": {"flamegraph", "run", "probes", "procfs"},
    "load": {"flamegraph", "run", "procfs"},
    "importers": {"flamegraph", "run", "probes", "load"},
    "lab": {"load", "procfs"},
    "commands": {"flamegraph", "run", "probes", "analysis", "rules", "render", "engine", "importers", "lab", "load"},
    # The command line renders errors, and finds the commands.
    "cli": {"commands", "flamegraph", "render"},
    "__main__": {"cli"},
    # netprobe.load() and netprobe.compare() are functions of the package itself.
    "__init__": {"run", "analysis", "rules", "render"},
    "errors": set(),
    "procfs": set(),
    "resources": set(),
    "version": set(),
    "flamegraph": set(),
}
FOR_ALL = {"__init__", "errors", "resources", "version"}
MAY_PRINT = {"render", "commands", "cli"}


def part_of(path: Path) -> str:
    inside = path.relative_to(ROOT).parts
    return inside[0] if inside[0] == "flamegraph" else inside[1].removesuffix(".py")


def part_named(module: str) -> str | None:
    """The part that a dotted name belongs to; None for the rest of the world."""
    names = module.split(".")
    if names[0] == "flamegraph":
        return "flamegraph"
    if names[0] != "netprobe":
        return None
    return names[1] if len(names) > 1 and names[1] in MAY_IMPORT else "__init__"


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, wherever in the file it stands."""
    package = ".".join(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def printing(path: Path) -> Iterator[int]:
    """Lines that call print() or click.echo() and its kin."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("print", "echo", "secho", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
            yield node.lineno


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_modules_to_look_at():
    assert {"run", "probes", "analysis", "engine", "render", "commands", "cli"} <= {part_of(path) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_one_way(path):
    own = part_of(path)
    assert own in MAY_IMPORT, f"{named(path)}: DESIGN.md knows no {own}; give it its place in MAY_IMPORT"
    allowed = MAY_IMPORT[own] | {own} | (FOR_ALL if own != "flamegraph" else set())
    wrong = [
        f"{named(path)}:{line} imports {name}"
        for line, name in imported(path)
        if (part := part_named(name)) is not None and part not in allowed
    ]
    assert not wrong


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_between(modules: Sequence[Path]) -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports, type-only and function-level imports included."""
    names = {module_name(path) for path in modules}

    def resolved(name: str) -> str | None:
        # `from package.module import name`: the longest part that is a module.
        while name and name not in names:
            name = name.rpartition(".")[0]
        return name or None

    graph: dict[str, set[str]] = {}
    for path in modules:
        own = module_name(path)
        found = {target for _, name in imported(path) if (target := resolved(name)) is not None}
        graph[own] = found - {own}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in turn, the first one again at the end; empty if there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_circles():
    assert circle(imports_between(MODULES)) == []


def test_import_circles_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    folder = tmp_path / "netprobe"
    folder.mkdir()
    (folder / "a.py").write_text("from netprobe import b\n")
    (folder / "b.py").write_text("if TYPE_CHECKING:\n    from netprobe.c import C\n")
    (folder / "c.py").write_text("def f():\n    import netprobe.a\n")
    (folder / "d.py").write_text("import netprobe.a\n")
    assert set(circle(imports_between(sorted(folder.glob("*.py"))))) == {"netprobe.a", "netprobe.b", "netprobe.c"}


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) not in MAY_PRINT], ids=named)
def test_nothing_below_rendering_prints(path):
    assert not list(printing(path))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    from netprobe.engine import maps\n", "netprobe.engine.maps"),
        ("if TYPE_CHECKING:\n    import netprobe.engine.btf\n", "netprobe.engine.btf"),
        ("from ..engine.btf import Btf\n", "netprobe.engine.btf.Btf"),
        ("from .. import engine\n", "netprobe.engine"),
    ],
)
def test_hidden_imports_are_seen(source, expected, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "netprobe" / "analysis" / "some.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert [name for _, name in imported(path)] == [expected]
    assert part_named(expected) == "engine"
