"""Texts use the words of kernel documentation and perf, and none that only this project would use."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netprobe.commands.shared.group import cli
from netprobe.rules.registry import all_rules

ROOT = Path(__file__).parent.parent

# Phrase -> what to write instead. `*` stands for any letters; a phrase in capitals is matched in capitals only.
DENIED = {
    "account of the kernel": "BPF run-time statistics",
    "an account of": "statistics of",
    "AT 95 %": "95 % CI",
    "before anything else": "comparability warnings",
    "both ends": "snapshots at start and stop",
    "boxes": "frames",
    "broken link*": "failed check",
    "by request": "per request",
    "by second": "per second",
    "by the second": "per second",
    "calls a request": "calls per request",
    "calls a second": "calls per second",
    "cannot be told": "inconclusive",
    "cannot tell": "inconclusive",
    "chain of conditions": "prerequisites",
    "claim*": "summary",
    "climb*": "run (of a scenario)",
    "damage*": "corrupt",
    "denominator*": "normalization",
    "dispensable": "optional",
    "each look": "each snapshot",
    "ended by": "stopped by",
    "events a second": "events per second",
    "facts": "run context, or recording details",
    "fault on a switch": "configurable fault",
    "faults on a switch": "configurable faults",
    "FEWEST": "MIN",
    "function itself": "self",
    "gave the word": "released",
    "gives the word": "releases",
    "harmless": "sanitized, or escaped",
    "held back": "suspended before exec",
    "how taken": "recording details",
    "in words": "as text",
    "judg*": "evaluate, or result",
    "keeps no account": "has no BPF run-time statistics",
    "kin": "name the things",
    "ladder*": "scenario",
    "last look": "previous snapshot",
    "layer of files": "VFS layer",
    "leaf unknown": "unsymbolized",
    "leaning": "tint",
    "leans": "tint",
    "LEAST": "MIN",
    "left out": "skipped",
    "light recording*": "duty-cycled recording",
    "link by link": "the checks",
    "looks for 0.15 s": "a sampling window of 0.15 s",
    "made harmless": "sanitized, or escaped",
    "mend*": "fix",
    "messages a second": "messages per second",
    "MOST": "MAX",
    "no change seen": "within noise",
    "not told": "not specified",
    "ns an event": "ns per event",
    "octave*": "log-linear bucket",
    "overweight": "Δ",
    "own will": "voluntary",
    "packets a second": "packets per second",
    "PART %": "SHARE OF Δ",
    "part-time": "duty-cycled",
    "past the kernel": "kernel bypass",
    "polls a second": "polls per second",
    "pre-empt*": "preempt",
    "processor fault*": "CPU vulnerability",
    "put aside": "queued",
    "quarter of an octave": "log-linear bucket",
    "remed*": "fix",
    "requests a second": "requests per second",
    "rung*": "step (of a scenario)",
    "samples a second": "samples per second",
    "shared slot*": "overflow slot",
    "shelf": "spill file",
    "shelves": "spill files",
    "spelt out": "escaped",
    "stretch of time": "interval",
    "stretches of time": "intervals",
    "switches a request": "switches per request",
    "switches a second": "switches per second",
    "SYSTEM CALL": "SYSCALL",
    "takeover*": "next task",
    "takes over": "runs next",
    "test bed": "testbed",
    "THEN RAN": "NEXT TASK",
    "time-out*": "timeout",
    "timeout of 0": "zero timeout",
    "times a request": "times per request",
    "times a second": "times per second",
    "to do:": "Fix:, or a hint without a label",
    "todo:": "Fix:, or a hint without a label",
    "told": "specified, reported, or distinguished",
    "took over": "ran next",
    "torn": "truncated",
    "waits may wait": "blocking waits",
    "ways in": "attach mechanisms",
    "where its time goes": "CPU flame graph",
    "where the time goes": "CPU flame graph",
    "who took": "receiver, or next task",
    "whom": "target",
    "window opens": "the sampling window starts",
    "workaround* for processor": "CPU vulnerability mitigations",
    "would have been seen": "smallest detectable change",
    "would have seen": "smallest detectable change",
    "written aside": "written atomically",
}  # fmt: skip

# What is read: a directory and the files in it.
SOURCES = {
    "netprobe": ("*.py", "*.json", "*.js", "*.html", "*.css"),
    "flamegraph": ("*.py", "*.js", "*.html", "*.css"),
    "bpf": ("*.c", "common.h"),
    "docs": ("*.md", "*.py"),
    "dashboards": ("*.ipynb", "*.json"),
    "scripts": ("*.py",),
}
# Field names of earlier versions; a library that others wrote; recorded Runs with the names that they were made with.
NOT_READ = ("netprobe/run/versions.py", "netprobe/render/plotly_js/plotly-cartesian.min.js", "dashboards/runs/")

_CODES = re.compile("|".join(sorted((re.escape(rule.CODE) for rule in all_rules()), key=len, reverse=True)))
_CODE_SPAN = re.compile(r"(?<!`)`[^`\s]+`(?!`)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _pattern(phrase: str) -> re.Pattern[str]:
    # Between two words there may be the end of a line: of a comment, of a paragraph, of a string.
    words = (re.escape(word).replace(r"\*", r"\w*") for word in phrase.split())
    end = r"\b" if phrase[-1].isalpha() else ""
    return re.compile(r"\b" + r"[\s#*/\"']+".join(words) + end, 0 if phrase.isupper() else re.IGNORECASE)


_PATTERNS = {phrase: _pattern(phrase) for phrase in DENIED}


def denied_in(text: str, where: str) -> Iterator[str]:
    """A line for each denied phrase: place, phrase, what to write instead."""
    read = _CODES.sub("", text)
    lowered = read.lower()
    for phrase, pattern in _PATTERNS.items():
        if phrase.split()[0].rstrip("*").lower() not in lowered:
            continue
        for match in pattern.finditer(read):
            line = read.count("\n", 0, match.start()) + 1
            yield f"{where}:{line}: {' '.join(match[0].split())!r} → {DENIED[phrase]}"


def strings_of(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each string literal, adjacent literals joined, expressions in f-strings as `…`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            yield node.lineno, "".join(map(str, parts))


def denied_in_file(path: Path, where: str) -> set[str]:
    """Comments, names and texts of a source file; text outside identifiers of a page."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        text = _CODE_SPAN.sub("", _newest(text) if path.name == "CHANGELOG.md" else text)
        return set(denied_in(text, where))
    found = set(denied_in(_CAMEL.sub(" ", text.replace("_", " ")), where))
    if path.suffix == ".py":
        # A phrase that is broken over two literals is in none of the file's lines.
        for line, value in strings_of(text):
            found.update(f"{where}:{line}:{one.split(':', 2)[2]}" for one in denied_in(value, where))
    return found


def _newest(changelog: str) -> str:
    """Its newest section: earlier ones stay as they were published."""
    return "\n## ".join(changelog.split("\n## ")[:2])


def files() -> list[Path]:
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for directory, patterns in SOURCES.items():
        found += [path for pattern in patterns for path in (ROOT / directory).rglob(pattern)]
    return sorted(path for path in found if not named(path).startswith(NOT_READ))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Each command and subcommand: its name, itself, its context."""
    waiting: list[tuple[click.Command, click.Context]] = [(cli, click.Context(cli, info_name="netprobe"))]
    while waiting:
        command, context = waiting.pop()
        yield context.command_path, command, context
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner
                waiting.append((inner, click.Context(inner, info_name=name, parent=context)))


def test_there_is_something_to_read():
    read = [named(path) for path in files()]
    assert len(read) > 200
    for name in ("README.md", "docs/how-it-works.md", "netprobe/cli.py", "netprobe/render/schema/diff.json"):
        assert name in read
    assert len(DENIED) >= 40


@pytest.mark.parametrize("area", ["README.md", "CHANGELOG.md", *SOURCES])
def test_no_denied_phrase_in_files(area):
    found: set[str] = set()
    for path in files():
        if named(path).split("/")[0] == area:
            found |= denied_in_file(path, named(path))
    assert not found, "\n" + "\n".join(sorted(found))


def test_no_denied_phrase_in_help():
    found = []
    for name, command, context in commands():
        text = command.get_help(context) + " ".join(str(command.get_short_help_str(1000)).split())
        found += denied_in(" ".join(text.split()), f"{name} --help")
    assert not found, "\n" + "\n".join(found)


def test_no_denied_phrase_in_rules():
    found = [line for rule in all_rules() for line in denied_in(rule.__doc__ or "", f"netprobe explain {rule.CODE}")]
    assert not found, "\n" + "\n".join(found)


def test_each_phrase_is_found():
    for phrase in DENIED:
        planted = phrase.replace("*", "s")
        assert list(denied_in(f"Some text,\nthen {planted} and more.", "some.md")), phrase


@pytest.mark.parametrize(
    ("name", "source", "line"),
    [
        ("some.py", '\ntext = f"{one} was left "\\\n    f"out of it"\n', 2),
        ("some.py", "x = 1\n# of its own\n# will\n", 2),
        ("some.py", "def cannot_tell(): ...\n", 1),
        ("some.js", "// one\nfunction leafUnknown() {}\n", 2),
        ("some.json", '{"would_have_seen_pct": 1}', 1),
        ("some.md", "One that\nwaits may\nwait.\n", 2),
        ("some.md", "```\nSYSTEM CALL\n```\n", 2),
    ],
)
def test_a_planted_phrase_is_found(name, source, line, tmp_path):
    path = tmp_path / name
    path.write_text(source)
    assert {found.split(":")[1] for found in denied_in_file(path, name)} == {str(line)}


@pytest.mark.parametrize("text", ["`flush-batched`", "`time_out_ns`", "a system call", "recommend", "at most"])
def test_allowed(text, tmp_path):
    path = tmp_path / "some.md"
    path.write_text(f"See {text} there.")
    assert not denied_in_file(path, "some.md")
