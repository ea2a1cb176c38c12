"""Wrong use: said before anything is recorded, with what to do, exit status 2. Needs no root."""

import pytest


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
