"""The `netprobe` command. Here, and nowhere else, an error becomes a message and an exit status."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import click

from netprobe import __version__
from netprobe.errors import NetprobeError

_NOT_COMMANDS = {"__init__", "recording"}


class _LazyGroup(click.Group):
    """Commands are the files in `commands/`. They import what is heavy when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        folder = Path(__file__).parent / "commands"
        return sorted({path.stem for path in folder.glob("*.py")} - _NOT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        found = importlib.import_module(f"netprobe.commands.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="netprobe")
def cli() -> None:
    """Find, on a running network server, why it is slower than the kernel allows.

    Point it at a server: netprobe syscalls -p PID. Results go to standard output, progress and warnings to
    standard error. Exit status: 0 done, 2 wrong use or not possible here.
    """


def main() -> None:
    """Run the command line."""
    # Imports make objects by the ten thousand and free none: looking for garbage there costs 3 % of the start.
    gc.set_threshold(100_000)
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stdout)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit("netprobe: interrupted before there was a result.")
    except BrokenPipeError:
        # The reader has gone, as in `netprobe … | head`: no one is left to tell.
        sys.stderr.close()
        sys.exit(0)
    except NetprobeError as error:
        from netprobe.render.safe import printable

        for line in f"netprobe: {error.what}\n{error.todo}".strip().splitlines():
            click.echo(printable(line), err=True)
        sys.exit(2)
