"""The `netprobe` command. Here, and nowhere else, an error becomes a message and an exit status."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import NoReturn

import click

from netprobe import __version__
from netprobe.errors import NetprobeError

_NOT_COMMANDS = {"__init__"}


class _LazyGroup(click.Group):
    """Commands are the files in `commands/`. They import what is heavy when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = os.listdir(os.path.join(os.path.dirname(__file__), "commands"))
        return sorted({name[:-3] for name in files if name.endswith(".py")} - _NOT_COMMANDS)

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
    _prepare_streams()
    # Imports make objects by the ten thousand and free none: looking for garbage there costs 3 % of the start.
    gc.set_threshold(100_000)
    try:
        # Not click's own main(): it takes a broken pipe for a failure and ends the program by itself.
        with cli.make_context("netprobe", sys.argv[1:]) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _end("interrupted before there was a result.", status=130)
    except BrokenPipeError:
        # The reader has gone, as in `netprobe … | head`: no one is left to tell, and nothing went wrong.
        _forget_output()
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        _forget_output()
        _end(f"the result could not be written: {error.strerror or error}{where}.")
    except NetprobeError as error:
        _end(error.what, error.todo)


def _prepare_streams() -> None:
    """Standard streams that are there, and that write any text: escapes stand for what the encoding lacks."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file that is opened would take the number, and get the output.
            os.open(os.devnull, mode)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Python tries once more at its end to write what is left: into nothing, then."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _end(what: str, todo: str = "", status: int = 2) -> NoReturn:
    from netprobe.render.safe import printable

    for line in f"netprobe: {what}\n{todo}".strip().splitlines():
        click.echo(printable(line), err=True)
    sys.exit(status)
