"""The `netprobe` command: its options, its help, and the discovery of its subcommands."""

from __future__ import annotations

import importlib
import keyword
from pathlib import Path

import click

from netprobe.version import __version__

_COMMANDS = Path(__file__).parent.parent
_NOT_COMMANDS = {"__init__"}


class _LazyGroup(click.Group):
    """Commands are the files in `commands/`. Their slow imports are deferred until a command is invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        stems = {path.stem for path in _COMMANDS.glob("*.py")} - _NOT_COMMANDS
        return sorted(stem.removesuffix("_") for stem in stems)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        # A keyword of Python cannot be a module name: `import` is in import_.py.
        stem = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        found = importlib.import_module(f"netprobe.commands.{stem}").command
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="netprobe")
def cli() -> None:
    """Find out why a running network server is slower than the kernel allows.

    Start with: netprobe record -p PID

    Results go to standard output, progress and warnings to standard error. Exit status: 0 success, 1 a condition
    of --fail-on is met, 2 wrong usage or not possible on this machine.
    """
