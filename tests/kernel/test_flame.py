"""`netprobe flame` of programs with known shares, and of programs that wait, end early or call exec."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
import referencing

import netprobe as package
from flamegraph.frames import Kind
from netprobe.run.profile import read_profile

HERE = Path(__file__).parent
SCHEMAS = HERE.parent.parent / "netprobe" / "render" / "schema"
# Compiler, its options, and how the three functions are called then.
LANGUAGES = {
    "c": (["cc"], ("sixty", "thirty", "ten")),
    "static": (["cc", "-static"], ("sixty", "thirty", "ten")),
    "fixed-address": (["cc", "-no-pie"], ("sixty", "thirty", "ten")),
    "c++": (["g++", "-x", "c++"], ("lab::sixty", "lab::thirty", "lab::ten")),
    "rust": (["cc", "-DRUST"], ("lab::sixty", "lab::thirty", "lab::ten")),
}


@pytest.fixture
def shares(tmp_path):
    """Path of the program, compiled in one of the ways."""

    def build(language: str = "c", *more: str, name: str = "shares") -> Path:
        program = tmp_path / name
        compiler = LANGUAGES[language][0]
        source = HERE / "workloads" / "shares.c"
        command = [*compiler, "-O1", "-Wall", "-Werror", "-fno-omit-frame-pointer", *more, source, "-o", program]
        subprocess.run(command, check=True, timeout=60)
        return program

    return build


def shares_of(document, names):
    total = document["weight"]
    by_name = {row["function"]: 100 * row["total_weight"] / total for row in document["functions"]}
    return [by_name.get(name, 0.0) for name in names]


@pytest.mark.timing("shares of samples on two shared CPUs")
@pytest.mark.parametrize("language", LANGUAGES)
def test_known_shares(netprobe, shares, language):
    done = netprobe("flame", "-F", 499, "--json", "--", shares(language), "now", 4)
    document = done.json()
    assert document["samples"] > 1200
    assert shares_of(document, LANGUAGES[language][1]) == pytest.approx([60, 30, 10], abs=3)
    assert document["lost_samples"] == 0


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_the_sampling_rate(netprobe, shares):
    document = netprobe("flame", "-F", 99, "--json", "--", shares(), "now", 4).json()
    # 99 a second of CPU time, and the weight is that time.
    assert document["samples"] == pytest.approx(4 * 99, rel=0.06)
    if document["event"] == "cpu-clock":
        assert document["weight"] / 1e9 == pytest.approx(4, rel=0.06)


def test_stripped_with_a_separate_debug_file(netprobe, shares, tmp_path):
    program = shares("c", "-g", "-Wl,--build-id=sha1")
    notes = subprocess.run(["readelf", "-n", program], check=True, capture_output=True, text=True).stdout
    build_id = notes.partition("Build ID: ")[2].split()[0]
    stored = Path("/usr/lib/debug/.build-id") / build_id[:2] / f"{build_id[2:]}.debug"
    created = [
        folder for folder in (stored.parent, stored.parent.parent, stored.parent.parent.parent) if not folder.exists()
    ]
    stored.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["objcopy", "--only-keep-debug", program, stored], check=True)
        subprocess.run(["strip", program], check=True)
        document = netprobe("flame", "-F", 499, "--json", "--", program, "now", 3).json()
    finally:
        stored.unlink(missing_ok=True)
        for folder in created:
            folder.rmdir()
    assert shares_of(document, LANGUAGES["c"][1]) == pytest.approx([60, 30, 10], abs=3)


def test_stripped_without_a_debug_file_is_reported(netprobe, shares):
    program = shares("c", "-s")
    done = netprobe("flame", "--json", "-T", 0, "--", program, "now", 1)
    document = done.json()
    assert document["unsymbolized_share"] > 0.8
    assert any("shares" in note and "tripped" in note for note in document["notes"])
    assert any(row["function"] == "[shares]" for row in document["functions"])


def test_programs_that_end_during_the_recording(recording, shares, tmp_path):
    """Their files are deleted and their PIDs may be reused: the frames are symbolized nevertheless."""
    script = tmp_path / "many.sh"
    first, second = shares(name="first"), shares("c++", name="second")
    script.write_text(f"sleep 0.3\n{first} now 0.7\nrm {first}\n{second} now 0.7\nrm {second}\nsleep 1\n")
    session = recording("flame", "-F", 499, "--json", "--", "sh", script)
    document = session.finish().json()
    functions = {row["function"] for row in document["functions"]}
    assert {"sixty", "thirty", "lab::sixty", "lab::thirty"} <= functions
    assert document["unsymbolized_share"] < 0.05


def test_addresses_before_and_after_an_exec(netprobe, shares, tmp_path):
    """One process, two programs at the same addresses."""
    first, second = shares("fixed-address", name="first"), tmp_path / "second"
    code = (HERE / "workloads" / "shares.c").read_text().replace("sixty", "other_sixty")
    source = tmp_path / "second.c"
    source.write_text(code.replace('"gate.h"', f'"{HERE}/workloads/gate.h"'))
    subprocess.run(["cc", "-O1", "-no-pie", "-fno-omit-frame-pointer", source, "-o", second], check=True)
    runner = tmp_path / "runner.py"
    runner.write_text(
        "import os, subprocess\n"
        f"subprocess.run([{str(first)!r}, 'now', '1'])\n"
        f"os.execv({str(second)!r}, ['second', 'now', '1'])\n"
    )
    document = netprobe("flame", "-F", 499, "--json", "--", sys.executable, runner).json()
    sixty, other = shares_of(document, ("sixty", "other_sixty"))
    assert sixty == pytest.approx(other, rel=0.15)
    assert sixty > 20


def test_in_a_changed_root_directory(netprobe, shares, tmp_path):
    """As in a container: the path is that of another file outside."""
    root = tmp_path / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    shutil.move(shares("static"), root / "usr" / "bin" / "env")
    document = netprobe("flame", "-F", 499, "--json", "--", "chroot", root, "/usr/bin/env", "now", 2).json()
    assert shares_of(document, LANGUAGES["c"][1]) == pytest.approx([60, 30, 10], abs=4)


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_jit_code(netprobe, workload):
    """Code that the program generates, with a perf map, as Java, Node and Python have."""
    document = netprobe("flame", "-F", 499, "-T", 0, "--json", "--", workload("jit"), "now", 2).json()
    written = {row["function"]: row for row in document["functions"]}["Lwritten;loop"]
    Path(written["module"]).unlink()
    assert written["kind"] == "jit"
    assert written["self_weight"] / document["weight"] > 0.9


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_off_cpu(netprobe, workload):
    """A thread that sleeps for a second in all, in naps of 20 ms."""
    script = "import time\nfor i in range(50): time.sleep(0.02)\n"
    document = netprobe("flame", "--off-cpu", "-T", 0, "--json", "--", sys.executable, "-c", script).json()
    assert document["event"] == "off-cpu"
    naps = [row for row in document["functions"] if "nanosleep" in row["function"] and row["self_weight"]]
    assert sum(row["self_samples"] for row in naps) == 50
    assert sum(row["self_weight"] for row in naps) / 1e9 == pytest.approx(1.0, abs=0.1)


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_switches_of_a_ping_pong(netprobe, workload):
    """Each round trip is a wait in the pipe."""
    document = netprobe(
        "flame", "--off-cpu", "--shortest", 0, "-T", 0, "--json", "--", workload("pingpong"), "now", 10007
    ).json()
    waits = sum(row["self_samples"] for row in document["functions"] if "pipe_read" in row["function"])
    assert waits == pytest.approx(2 * 10007, abs=10)


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_only_the_target(recording, shares):
    program = shares()
    with subprocess.Popen([program, "now", "3"]) as other, subprocess.Popen([program, "now", "3"]) as target:
        session = recording("flame", "-p", target.pid, "-d", 1, "-o", "run", "--json", cwd=program.parent)
        session.finish()
        profile = read_profile(package.load(program.parent / "run").tables)
        assert {thread.pid for thread in profile.threads if thread.pid > 0} == {target.pid}
        for one in (other, target):
            one.terminate()


def test_kernel_and_user_only(netprobe, shares):
    program = shares()
    for option, kinds in (("-K", {"kernel"}), ("-U", {"user", "unknown"})):
        document = netprobe("flame", option, "-F", 499, "--json", "-T", 0, "--", program, "now", 1).json()
        assert {row["kind"] for row in document["functions"]} <= kinds


def test_intervals_make_a_time_range(netprobe, shares, tmp_path):
    """The first second in one program, the second one in another."""
    first, second = shares(name="first"), shares("c++", name="second")
    script = tmp_path / "two.sh"
    script.write_text(f"{first} now 1\n{second} now 1\n")
    netprobe("flame", "-F", 499, "-T", 1, "-o", tmp_path / "run", "--", "sh", script)
    early = netprobe("flame", tmp_path / "run", "--time", "0-0.5", "--json").json()
    late = netprobe("flame", tmp_path / "run", "--time", "1.5-", "--json").json()
    assert "sixty" in {row["function"] for row in early["functions"]}
    assert "lab::sixty" not in {row["function"] for row in early["functions"]}
    assert "lab::sixty" in {row["function"] for row in late["functions"]}


def test_the_run_keeps_the_profile(netprobe, shares, tmp_path):
    netprobe("flame", "-F", 499, "-T", 5, "-o", tmp_path / "run", "-o", tmp_path / "a.folded", "--", shares(), "now", 1)
    profile = read_profile(netprobe_load(tmp_path / "run"))
    assert profile.count > 300
    assert Kind.USER in {frame.kind for frame in profile.frames}
    netprobe("flame", tmp_path / "run", "-o", tmp_path / "b.folded")
    assert (tmp_path / "a.folded").read_text() == (tmp_path / "b.folded").read_text()


def netprobe_load(path):
    return package.load(path).tables


def test_json_is_valid_against_the_schema(netprobe, shares):
    document = netprobe("flame", "--json", "--", shares(), "now", 1).json()
    contents = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    registry = referencing.Registry().with_resources(
        (schema["$id"], referencing.Resource.from_contents(schema)) for schema in contents
    )
    schema = json.loads((SCHEMAS / "flame.json").read_text())
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)


HOSTILE = b"</b>\x1b[2J\xff\xfe&"
NAPPING = f"""
import threading, time
def nap():
    open("/proc/self/task/%d/comm" % threading.get_native_id(), "wb").write({HOSTILE!r})
    end = time.time() + 60
    while time.time() < end:
        time.sleep(0.01)
        sum(range(20000))
threading.Thread(target=nap, daemon=True).start()
time.sleep(60)
"""


@pytest.mark.parametrize("off_cpu", [[], ["--off-cpu"]])
def test_ctrl_c_stops_a_recording_of_a_thread_with_a_hostile_name(recording, tmp_path, off_cpu):
    """Markup, escape sequences and bytes that are not UTF-8 are shown as text."""
    with subprocess.Popen([sys.executable, "-c", NAPPING]) as target:
        session = recording(
            "flame", *off_cpu, "-p", target.pid, "-d", 30, "-F", 499, "-o", tmp_path / "x.html",
            "-o", tmp_path / "x.svg", "-o", tmp_path / "x.folded", "-o", tmp_path / "run",
        )  # fmt: skip
        time.sleep(1.5)
        done = session.stop()
        target.kill()
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert " in 1." in done.out or " in 2." in done.out or "within" in done.out
    assert "\x1b" not in done.out + done.err
    profile = read_profile(package.load(tmp_path / "run").tables)
    assert profile.info.event == ("off-cpu" if off_cpu else profile.info.event)
    assert any(thread.comm.startswith("</b>") for thread in profile.threads)
    for name in ("x.html", "x.svg", "x.folded"):
        content = (tmp_path / name).read_bytes()
        assert b"\x1b" not in content
        assert b"</b>" not in content or name == "x.folded"
        content.decode("utf-8")
    ElementTree.parse(tmp_path / "x.svg")


def test_a_target_that_exits_ends_the_recording(recording, shares, tmp_path):
    with subprocess.Popen([shares(), "now", "1.5"]) as target:
        began = time.monotonic()
        done = recording("flame", "-p", target.pid, "-d", 40, "-F", 499, "--json").finish()
        assert time.monotonic() - began < 20
    assert "sixty" in {row["function"] for row in done.json()["functions"]}


def perf_record(folder, *command):
    subprocess.run(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-g", "-o", "perf.data", "--", *map(str, command)],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def loud(document):
    words = {"grown", "shrunk", "new", "gone"}
    functions = [row for row in document["functions"] if {row["verdict"], row["self_verdict"]} & words]
    return functions, sum(document["frames_by_verdict"][word] for word in words)


@pytest.mark.timing("shares of samples on two shared CPUs")
def test_halves_of_a_recording_by_perf_have_no_change_and_two_programs_have(netprobe, shares, tmp_path):
    """As perf.data with --time twice, and as two outputs of perf script."""
    if shutil.which("perf") is None:
        pytest.skip("needs perf")
    perf_record(tmp_path, shares(name="first"), "now", 6)
    data = tmp_path / "perf.data"
    halves = netprobe("flame", "--diff", "--json", "--time", "0-3", "--time", "3-", data, data).json()
    assert halves["before"]["samples"] > 1000
    assert loud(halves) == ([], 0)
    assert {row["verdict"] for row in halves["functions"] if row["name"] in ("sixty", "thirty")} == {"noise"}
    for number, span in enumerate(("0%-50%", "50%-100%")):
        text = subprocess.run(["perf", "script", "-f", "-i", data, "--time", span], check=True, capture_output=True)
        (tmp_path / f"{number}.txt").write_bytes(text.stdout)
    assert loud(netprobe("flame", "--diff", "--json", tmp_path / "0.txt", tmp_path / "1.txt").json()) == ([], 0)
    first, second = shares(name="second"), shares("c++", name="third")
    (tmp_path / "two.sh").write_text(f"{first} now 3\n{second} now 3\n")
    perf_record(tmp_path, "sh", tmp_path / "two.sh")
    changed = netprobe("flame", "--diff", "--json", "--time", "0-3", "--time", "3-", data, data).json()
    verdicts = {row["name"]: row["verdict"] for row in changed["functions"]}
    assert verdicts["lab::sixty"] in ("new", "grown")


def test_no_sample(recording):
    with subprocess.Popen(["sleep", "30"]) as target:
        done = recording("flame", "-p", target.pid, "-d", 0.5).finish()
        target.terminate()
    error = done.refused()
    assert "No sample" in error
    assert "--off-cpu" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--diff", "a"], "two files"),
        (["a", "b"], "--diff"),
        (["-p", "1", "a"], "not both"),
        (["-U", "-K"], "select no stacks"),
        (["/nonexistent"], "No such file"),
        (["-o", "x.jpeg"], "known format"),
        (["-o", "/nonexistent/x.html"], "does not exist"),
        (["-F", "0"], "range"),
        (["--time", "5-2", "a"], "range of seconds"),
    ],
)
def test_wrong_use(netprobe, arguments, words):
    assert words in netprobe("flame", *arguments).refused()


def test_escape_sequences_in_names_are_sanitized(netprobe, tmp_path):
    """The names of the thread and of the program are escape sequences of a terminal."""
    program = tmp_path / "evil\x1b[31m.py"
    program.write_text(
        "import time\n"
        "open('/proc/self/comm', 'w').write('\\x1b]0;x\\x07<b>')\n"
        "end = time.time() + 1\n"
        "while time.time() < end: pass\n"
    )
    done = netprobe("flame", "-T", 5, "-o", tmp_path / "x.html", "--", sys.executable, program)
    assert "\x1b" not in done.out
    assert "\x1b]0" not in (tmp_path / "x.html").read_text()
