"""Every command line and every program in README and docs runs, and ends with exit status 0.

pages.py describes the format of pages. Recordings are shortened to a second; `apt` and `make` have no effect. The
output of pages without a server is compared with the page. NETPROBE_BLESS=1 runs the pages unshortened and writes the
output of the commands into them.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest


def beside(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pages, shell = beside("pages"), beside("shell")
PAGES = [page for page in pages.all_pages() if page.commands or page.programs]
BLESS = bool(os.environ.get("NETPROBE_BLESS"))
ANYTHING = "…"


def named(page):
    return page.name


def run(page, folder, here):
    there = shell.Shell(folder, here)
    outputs = there.run([command.text if BLESS else shell.shortened(command.text) for command in page.commands])
    there.python(page.programs)
    if BLESS:
        page.path.write_text(pages.written(page, outputs))
    return outputs


def like(shown, printed):
    """Whether the lines are equal; a line with only an ellipsis matches any number of lines."""
    if not shown:
        return not printed
    if shown[0].strip() == ANYTHING:
        return any(like(shown[1:], printed[number:]) for number in range(len(printed) + 1))
    return bool(printed) and shown[0].rstrip() == printed[0].rstrip() and like(shown[1:], printed[1:])


@pytest.mark.parametrize("page", [page for page in PAGES if not page.needs], ids=named)
def test_page(page, tmp_path):
    outputs = run(page, tmp_path, {})
    for command, output in zip(page.commands, outputs, strict=True):
        if command.output and not BLESS:
            assert like(command.output, pages.neutral(output).splitlines()), f"$ {command.text}\n{output}"


@pytest.mark.kernel
@pytest.mark.parametrize("page", [page for page in PAGES if page.needs], ids=named)
def test_page_with_a_server(page, tmp_path):
    with shell.running(page.needs, tmp_path, BLESS) as here:
        run(page, tmp_path, here)


@pytest.mark.parametrize("page", pages.all_pages(), ids=named)
def test_no_command_line_escapes(page):
    """A prompt or the command at the beginning of a line, in a block that is not run."""
    for block in page.other_fences:
        lines = [line for line in block.splitlines() if line.startswith(("$ ", "netprobe ", "make "))]
        assert not lines, f"to be run, these must stand in a block of the language console: {lines}"
