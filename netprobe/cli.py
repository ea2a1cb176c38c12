"""The `netprobe` command: the only place where an error becomes a message and an exit status."""

from __future__ import annotations

import gc
import os
import sys

# Importing typing takes 10 ms, during which Ctrl-C would print a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Run the command line."""
    # Slow imports are deferred until here, as Ctrl-C may be pressed right after the start.
    try:
        _prepare_streams()
        # Imports create tens of thousands of objects and free none: garbage collection would take 3 % of the start.
        gc.set_threshold(100_000)
        _run()
    except KeyboardInterrupt:
        _restore_sigint()
        _exit("interrupted before there was a result.", status=130)
    _restore_sigint()


def _run() -> None:
    import click

    from flamegraph.errors import ProfileError
    from netprobe.commands.shared.group import cli
    from netprobe.errors import NetprobeError

    try:
        # click's own main() treats a broken pipe as a failure and exits.
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
        # The reader of the pipe exited, as in `netprobe … | head`, which is no error.
        _discard_output()
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        _discard_output()
        _exit(f"the result could not be written: {error.strerror or error}{where}.")
    except (NetprobeError, ProfileError) as error:
        _exit(error.message, error.hint)


def _restore_sigint() -> None:
    """From here on Ctrl-C ends the process without a traceback."""
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _prepare_streams() -> None:
    """Open missing standard streams, and escape characters that their encoding lacks."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next opened file would get this descriptor, and the output.
            os.open(os.devnull, mode)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Python flushes standard output once more at exit: redirect it to /dev/null."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _exit(message: str, hint: str = "", status: int = 2) -> NoReturn:
    from netprobe.render.safe import printable

    for line in f"netprobe: {message}\n{hint}".strip().splitlines():
        print(printable(line), file=sys.stderr)
    sys.exit(status)
