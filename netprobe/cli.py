"""The `netprobe` command. Here, and nowhere else, an error becomes a message and an exit status."""

from __future__ import annotations

import gc
import os
import sys

# Not from typing: that takes 10 ms, in which Ctrl-C would show a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Run the command line."""
    # Whatever takes time is imported below: Ctrl-C may come as soon as the command is started.
    try:
        _prepare_streams()
        # Imports make objects by the ten thousand and free none: looking for garbage there costs 3 % of the start.
        gc.set_threshold(100_000)
        _run()
    except KeyboardInterrupt:
        _leave_quietly()
        _end("interrupted before there was a result.", status=130)
    _leave_quietly()


def _run() -> None:
    import click

    from flamegraph.errors import ProfileError
    from netprobe.commands.shared.group import cli
    from netprobe.errors import NetprobeError

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
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # The reader has gone, as in `netprobe … | head`: no one is left to tell, and nothing went wrong.
        _forget_output()
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        _forget_output()
        _end(f"the result could not be written: {error.strerror or error}{where}.")
    except (NetprobeError, ProfileError) as error:
        _end(error.message, error.hint)


def _leave_quietly() -> None:
    """Ctrl-C from here on ends the program without a word: what is left to do is not worth a traceback."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


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


def _end(what: str, hint: str = "", status: int = 2) -> NoReturn:
    from netprobe.render.safe import printable

    for line in f"netprobe: {what}\n{hint}".strip().splitlines():
        print(printable(line), file=sys.stderr)
    sys.exit(status)
