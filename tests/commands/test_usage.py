"""Wrong use: said before anything is recorded, with what to do, exit status 2. Needs no root."""

import click
import pytest

from netprobe.commands.shared.group import cli


@pytest.fixture
def refused_within():
    """What is said of wrong use, without a new process for each."""

    def refused(*arguments):
        with pytest.raises(click.UsageError) as error, cli.make_context("netprobe", list(arguments)) as context:
            cli.invoke(context)
        return error.value.format_message()

    return refused


@pytest.mark.parametrize("command", ["syscalls", "switches"])
@pytest.mark.parametrize(
    ("arguments", "words"),
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
def test_refused(netprobe, command, arguments, words):
    said = netprobe(command, *arguments, timeout=15).refused()
    assert words in said
    assert "Attached" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "ENOSUCHERROR"], "ENOSUCHERROR"),
        (["-e", "ERESTARTNONSENSE"], "ERESTARTNONSENSE"),
        (["--syscall", "nosuchcall"], "nosuchcall"),
        (["--by", "nothing"], "nothing"),
        (["--syscall", "waitpid"], "waitpid"),
    ],
)
def test_refused_by_syscalls(netprobe, arguments, words):
    said = netprobe("syscalls", "-d", "0.2", *arguments).refused()
    assert words in said
    assert "Attached" not in said


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
    said = refused_within(*options, number)
    assert options[-1] in said
    assert f"{number!r} is not a number of requests: write a number above 0" in said


def test_no_arguments_is_help(netprobe):
    done = netprobe()
    assert done.status in (0, 2)
    assert "syscalls" in done.out
    assert "switches" in done.out


def test_no_such_command(netprobe):
    said = netprobe("syscall").refused()
    assert "syscall" in said


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
