"""Thread names with escape sequences, or that imitate output of netprobe."""

import json
import os
import pty
import subprocess
from typing import Any

import pytest

NAMES = {
    "escape": (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    "invalid UTF-8": (b"bad\xff\xfe", "bad\\xff\\xfe"),
    "markup": (b"[red]x[/red]", "[red]x[/red]"),
    "broken markup": (b"[/bold]", "[/bold]"),
    "right to left": ("a\u202eb\u200f".encode(), "a\\u202eb\\u200f"),
    "new line": (b"two\nlines\r", "two\\x0alines\\x0d"),
    "C1 control": ("\u009b31m".encode(), "\\x9b31m"),
    "emoji": ("\N{SNAKE}s".encode(), "\N{SNAKE}s"),
    "cut in a character": (b"fourteen-bytes\xc3\xa4", "fourteen-bytes\\xc3"),
    "empty": (b"", ""),
    "link": (b"\x1b]8;;http:x", "\\x1b]8;;http:x"),
}
COMMANDS = ["syscalls", "switches"]


@pytest.fixture(params=NAMES.values(), ids=NAMES.keys())
def named(request, gated) -> tuple[Any, str]:
    """(workload of that name, the expected form of the name)"""
    name, shown = request.param
    return gated("named", name), shown


def options(command: str, pid: int) -> list[str]:
    by_thread = ["--by", "thread", "-T", "0"] if command == "syscalls" else ["--no-fold"]
    return [command, "-p", str(pid), "-d", "60", *by_thread]


def harmless(text: str, lines: int | None = None) -> None:
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not [char for char in text if ord(char) < 0x20 and char not in "\n"]


def test_in_a_pipe(named, recording):
    target, shown = named
    session = recording(*options("syscalls", target.pid))
    target.go()
    done = session.finish()
    assert done.status == 0
    harmless(done.out)
    harmless(done.err)
    (line,) = [line for line in done.out.splitlines() if " getppid " in line]
    assert line.split("  getppid ")[0].split(str(target.pid))[-1].strip() == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_in_json(named, recording, rows, command):
    target, shown = named
    session = recording(*options(command, target.pid), "--json")
    target.go()
    done = session.finish()
    harmless(done.out)
    table = json.loads(done.out)["syscalls" if command == "syscalls" else "threads"]
    assert {printable(row["thread"]) for row in table} == {shown}


def printable(text: str) -> str:
    from netprobe.render.safe import printable

    return printable(text)


def on_terminal(command: list[str], wait: Any) -> str:
    """Output of a command on a terminal of 200 columns."""
    primary, secondary = pty.openpty()
    os.set_blocking(primary, False)
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    shown = bytearray()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary, env=environment
    ) as one:
        os.close(secondary)
        while True:
            done = one.poll() is not None
            try:
                while chunk := os.read(primary, 1 << 16):
                    shown += chunk
            except (BlockingIOError, OSError):
                pass
            wait(shown.decode(errors="replace"))
            if done:
                break
    os.close(primary)
    return shown.decode()


def without_styles(text: str) -> str:
    """The output without the colors of netprobe's own tables."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_terminal(named, netprobe, command):
    import sys
    import time
    from pathlib import Path

    target, shown = named
    gone = []

    def when_attached(text: str) -> None:
        if "Attached in" in text and not gone:
            time.sleep(0.05)
            gone.append(target.go())
        time.sleep(0.01)

    binary = str(Path(sys.executable).with_name("netprobe"))
    raw = on_terminal([binary, *options(command, target.pid)], when_attached)
    text = without_styles(raw).replace("\r\n", "\n")
    assert "Traceback" not in text
    harmless(text)
    # Its own colours are there: this was a terminal to it. The name brought none.
    assert "\x1b[" in raw
    assert "\x1b[31m" not in raw
    if shown:
        assert shown in text


def test_hostile_command_line(netprobe, tmp_path):
    script = tmp_path / "\x1b[31m[red]\u202e"
    script.write_text("#!/bin/sh\n:\n")
    script.chmod(0o755)
    done = netprobe("syscalls", "--", script)
    assert done.status == 0
    harmless(done.out)
    harmless(done.err)
    done = netprobe("syscalls", "--json", "--", script, b"\xff\xfe")
    harmless(done.out)
    assert done.json()["target"]["command"][0] == str(script)


def test_hostile_names_in_messages(netprobe):
    for arguments in (["--comm", "\x1b[31mx"], ["-o", "/nosuch\x1b[31m/run"], ["-e", "\x1b[31m"], ["--", "\x1b[31m"]):
        done = netprobe("syscalls", "-d", "0.2", *arguments)
        assert done.status == 2, arguments
        harmless(done.err)
    done = netprobe("\x1b[31mnosuchcommand")
    assert done.status == 2
    harmless(done.err)
