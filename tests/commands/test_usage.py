"""Wrong usage: a message and exit status 2 before anything is recorded. Needs no root."""

import click
import pytest

from netprobe.commands.shared.group import cli


@pytest.fixture
def refused_within():
    """The message of a usage error, without a new process for each case."""

    def refused(*arguments):
        with pytest.raises(click.UsageError) as error, cli.make_context("netprobe", list(arguments)) as context:
            cli.invoke(context)
        return error.value.format_message()

    return refused


@pytest.mark.parametrize("command", ["syscalls", "switches"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "1", "--", "sleep", "1"], "not both"),
        (["--comm", "x", "--", "sleep", "1"], "not both"),
        (["1234"], "-p 1234"),
        (["-d", "1", "-i", "2"], "longer"),
        (["-i", "20"], "longer"),
        (["-d", "0"], "-d"),
        (["-d", "-1"], "-d"),
        (["-d", "nan"], "-d"),
        (["-i", "0"], "-i"),
        (["-p", "0"], "-p"),
        (["-p", "nginx"], "-p"),
        (["-p", "99999999999999999999"], ""),
        (["--nosuchoption"], "nosuchoption"),
        (["-T", "-1"], "-T"),
        (["-o", "/nonexistent/run", "-d", "1"], "/nonexistent"),
        (["--", "nosuchprogram"], "nosuchprogram"),
    ],
)
def test_refused(netprobe, command, arguments, message):
    error = netprobe(command, *arguments, timeout=15).refused()
    assert message in error
    assert "Attached" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "ENOSUCHERROR"], "ENOSUCHERROR"),
        (["-e", "ERESTARTNONSENSE"], "ERESTARTNONSENSE"),
        (["--syscall", "nosuchcall"], "nosuchcall"),
        (["--by", "nothing"], "nothing"),
        (["--syscall", "waitpid"], "waitpid"),
    ],
)
def test_refused_by_syscalls(netprobe, arguments, message):
    error = netprobe("syscalls", "-d", "0.2", *arguments).refused()
    assert message in error
    assert "Attached" not in error


@pytest.mark.parametrize("number", ["nan", "inf", "1e999", "0", "-1", "many", ""])
@pytest.mark.parametrize(
    "options",
    [
        ("import", "-", "--requests"),
        ("record", "-d", "0.2", "--requests"),
        ("flame", "--diff", "a", "b", "--per", "request", "--requests-a"),
        ("flame", "--diff", "a", "b", "--per", "request", "--requests-b"),
    ],
    ids=" ".join,
)
def test_no_number_of_requests(refused_within, options, number):
    error = refused_within(*options, number)
    assert options[-1] in error
    assert f"{number!r} is not a number of requests: write a number above 0" in error


def test_no_arguments_is_help(netprobe):
    done = netprobe()
    assert done.status in (0, 2)
    assert "syscalls" in done.out
    assert "switches" in done.out


def test_no_such_command(netprobe):
    error = netprobe("syscall").refused()
    assert "syscall" in error


@pytest.mark.parametrize("command", ["syscalls", "switches"])
def test_help_names_every_option(netprobe, command):
    done = netprobe(command, "--help")
    assert done.status == 0
    for option in (
        "-p, --pid",
        "--comm",
        "-d, --duration",
        "-i, --interval",
        "-o, --output",
        "--json",
        "-T, --top",
        "-L",
    ):
        assert option in done.out


def test_version(netprobe):
    import netprobe as package

    assert netprobe("--version").out.split()[-1] == package.__version__
    assert netprobe("-V").out == netprobe("--version").out
