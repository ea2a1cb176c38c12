"""The pages of the documentation: their command lines, the outputs of these, and their requirements.

In fenced blocks of the language `console`, a line that begins with `$ ` is a command line; a `\\` at its end joins the
next. The lines below are its output. Blocks of the language `python` are programs. A comment specifies the server that
runs meanwhile:

    <!-- with: lab-server --threads 2 -->    the lab server, with load from a client on each CPU
    <!-- with: idle lab-server -->           the lab server without load
    <!-- with: nginx -->                     nginx with two workers, under load
    <!-- with: root -->                      no server, but the page needs root and the kernel

The commands of a page without such a comment need no root; their output is compared with the page.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_WITH = re.compile(r"^<!-- with: (.*) -->$", re.MULTILINE)
_FENCE = re.compile(r"^\s*(`{3,}|:{3,})\s*(\{?[\w-]*\}?)")


@dataclass
class Command:
    """A command line; `lines` are the numbers of its first line of output and of the line behind its last."""

    number: int
    text: str
    output: list[str] = field(default_factory=list)
    lines: tuple[int, int] = (0, 0)


@dataclass
class Page:
    """One file."""

    path: Path
    needs: str = ""
    commands: list[Command] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    other_fences: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Path in the checkout."""
        return str(self.path.relative_to(ROOT))


def all_pages() -> list[Page]:
    """README and docs."""
    return [read(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


def read(path: Path) -> Page:
    """Parse a page."""
    text = path.read_text()
    needs = _WITH.search(text)
    page = Page(path, needs[1] if needs else "")
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        number += 1
        if not fence:
            continue
        start = number
        while number < len(lines) and lines[number].strip() != fence[1]:
            number += 1
        _block(page, fence[2], lines, start, number)
        number += 1
    return page


def _block(page: Page, language: str, lines: list[str], start: int, end: int) -> None:
    if language == "console":
        page.commands += _commands(lines, start, end)
    elif language == "python":
        page.programs.append("\n".join(lines[start:end]))
    else:
        page.other_fences.append("\n".join(lines[start:end]))


def _commands(lines: list[str], start: int, end: int) -> list[Command]:
    found: list[Command] = []
    number = start
    while number < end:
        line = lines[number]
        number += 1
        if line.startswith("$ "):
            first = number
            text = line[2:]
            while text.endswith("\\"):
                text = f"{text}\n{lines[number]}"
                number += 1
            found.append(Command(first, text, lines=(number, number)))
        elif found:
            found[-1].output.append(line)
            found[-1].lines = (found[-1].lines[0], number)
        else:
            raise ValueError(f"output without a command line: {line}")
    return found


def neutral(output: str) -> str:
    """The output without the path of this checkout."""
    return output.replace(str(ROOT), "/path/to/netprobe")


def written(page: Page, outputs: list[str]) -> str:
    """The page with its outputs replaced."""
    lines = page.path.read_text().splitlines()
    for command, output in reversed(list(zip(page.commands, outputs, strict=True))):
        if command.output:
            lines[slice(*command.lines)] = neutral(output).rstrip("\n").splitlines()
    return "\n".join(lines) + "\n"
