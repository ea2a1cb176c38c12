"""Two network namespaces joined by a veth pair on which sockets get NAPI ids, so that busy polling is real.

`net.core.busy_poll` is one value for the whole machine (namespaces do not have their own, seen on Linux
6.18). `up` therefore writes what it found to a state file before it changes anything, and `down` needs
nothing but that file: it also works after `up` was killed half-way, and a second time.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from netprobe.errors import NetprobeError
from netprobe.lab.signals import Ending, held

SERVER = "netprobe-lab-server"
CLIENT = "netprobe-lab-client"
STATE = Path("/run/netprobe-lab.json")
_NAMESPACES = Path("/run/netns")
_BUSY_POLL = Path("/proc/sys/net/core/busy_poll")
_IPV6 = Path("/proc/sys/net/ipv6")
_STATE_VERSION = 1
_COMMAND_SECONDS = 20.0
_END_SECONDS = 2.0


@dataclass(frozen=True)
class End:
    """One end of the veth pair."""

    namespace: str
    device: str
    address: str
    address6: str


SERVER_END = End(SERVER, "veth-server", "10.99.0.1", "fd99::1")
CLIENT_END = End(CLIENT, "veth-client", "10.99.0.2", "fd99::2")
_ENDS = (SERVER_END, CLIENT_END)


@dataclass(frozen=True)
class LabOptions:
    """How the namespaces are set up.

    `defer` leaves packets to the busy poller (napi_defer_hard_irqs, gro_flush_timeout); `rps_cpus` are the
    CPUs that the server's receive queues hand packets to; `busy_poll_us` is net.core.busy_poll, for the whole
    machine.
    """

    queues: int = os.cpu_count() or 1
    defer: bool = False
    rps_cpus: tuple[int, ...] = ()
    busy_poll_us: int | None = None


@dataclass(frozen=True)
class Lab:
    """What `up` has made."""

    server: End
    client: End
    options: LabOptions


@dataclass(frozen=True)
class _BusyPoll:
    before: int
    during: int


def up(options: LabOptions = LabOptions()) -> Lab:
    """Bring both namespaces up, or leave nothing behind."""
    with held():
        return _up(options)


def _up(options: LabOptions) -> Lab:
    _check(options)
    _claim(options)
    try:
        _make_link(options)
        for end in _ENDS:
            _configure(end, options)
        if options.busy_poll_us is not None:
            _BUSY_POLL.write_text(f"{options.busy_poll_us}\n")
    except BaseException:
        down()
        raise
    return Lab(SERVER_END, CLIENT_END, options)


def down() -> list[str]:
    """Remove whatever there is of the lab, and say what that was."""
    _require_root()
    with held():
        removed = [said for end in _ENDS for said in _remove_namespace(end)]
        removed += _restore_busy_poll()
        for path in (STATE, *STATE.parent.glob(STATE.name + ".*")):
            path.unlink(missing_ok=True)
    return removed


def is_up() -> bool:
    """Whether anything of the lab is there."""
    return STATE.exists() or any(_path(end).exists() for end in _ENDS)


@contextmanager
def lab(options: LabOptions = LabOptions()) -> Iterator[Lab]:
    """The lab for the length of a `with` block, whichever way the block ends."""
    ending = Ending()
    with ending.handled():
        ours = up(options)
        # A signal may raise just before disarming, but only once: the outer call then takes the lab down.
        try:
            try:
                ending.arm()
                yield ours
            finally:
                ending.armed = False
                down()
        finally:
            down()


def _check(options: LabOptions) -> None:
    _require_root()
    if is_up():
        raise NetprobeError("the lab is already up, or was not taken down", hint="run: netprobe lab down")
    cpus = os.cpu_count() or 1
    if not 1 <= options.queues <= 64:
        raise NetprobeError(f"a veth pair with {options.queues} queues is not possible", hint="take 1 to 64")
    if any(not 0 <= cpu < cpus for cpu in options.rps_cpus):
        raise NetprobeError(f"RPS names a CPU that is not there: {options.rps_cpus}", hint=f"take 0 to {cpus - 1}")
    if options.busy_poll_us is not None:
        if options.busy_poll_us < 0:
            raise NetprobeError(f"net.core.busy_poll cannot be {options.busy_poll_us}")
        _read_busy_poll()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise NetprobeError("network namespaces need root", hint="run it with sudo")


def _read_busy_poll() -> int:
    try:
        return int(_BUSY_POLL.read_text())
    except FileNotFoundError as error:
        raise NetprobeError(
            "net.core.busy_poll is not here",
            hint="run it outside of containers and network namespaces",
        ) from error


def _claim(options: LabOptions) -> None:
    """Write the state file; linking it into place fails if another lab came first, unlike a rename."""
    state: dict[str, object] = {"version": _STATE_VERSION}
    if options.busy_poll_us is not None:
        state["busy_poll"] = asdict(_BusyPoll(_read_busy_poll(), options.busy_poll_us))
    aside = STATE.with_name(f"{STATE.name}.{os.getpid()}")
    aside.write_text(json.dumps(state))
    try:
        os.link(aside, STATE)
    except FileExistsError as error:
        raise NetprobeError("the lab is already up", hint="run: netprobe lab down") from error
    finally:
        aside.unlink()


def _make_link(options: LabOptions) -> None:
    for end in _ENDS:
        _run(["ip", "netns", "add", end.namespace])
    queues = ["numrxqueues", str(options.queues), "numtxqueues", str(options.queues)]
    here = ["ip", "link", "add", SERVER_END.device, "netns", SERVER_END.namespace, *queues]
    there = ["type", "veth", "peer", "name", CLIENT_END.device, "netns", CLIENT_END.namespace, *queues]
    _run([*here, *there])


def _configure(end: End, options: LabOptions) -> None:
    ip = ["ip", "-n", end.namespace]
    _run([*ip, "addr", "add", f"{end.address}/24", "dev", end.device])
    if _IPV6.exists():
        # Duplicate address detection would keep the address from use for a second.
        _run([*ip, "addr", "add", f"{end.address6}/64", "dev", end.device, "nodad"])
    for device in ("lo", end.device):
        _run([*ip, "link", "set", device, "up"])
    # GRO gives veth a NAPI instance; without TSO and GSO TCP packets take it and sockets get a NAPI id.
    offloads = ["gro", "on", "tso", "off", "gso", "off"]
    _run(["ip", "netns", "exec", end.namespace, "ethtool", "-K", end.device, *offloads])
    device_directory = f"/sys/class/net/{end.device}"
    if options.defer:
        _write(end, [f"{device_directory}/napi_defer_hard_irqs"], "2")
        _write(end, [f"{device_directory}/gro_flush_timeout"], "200000")
    if options.rps_cpus and end is SERVER_END:
        queues = [f"{device_directory}/queues/rx-{queue}/rps_cpus" for queue in range(options.queues)]
        _write(end, queues, _cpu_mask(options.rps_cpus))


def _cpu_mask(cpus: Sequence[int]) -> str:
    """The bitmap of sysfs: groups of 32 bits, the highest first."""
    mask = sum(1 << cpu for cpu in set(cpus))
    groups = [f"{mask >> shift & 0xFFFFFFFF:08x}" for shift in range(0, max(cpus) + 1, 32)]
    return ",".join(reversed(groups))


def _write(end: End, paths: list[str], value: str) -> None:
    """Write sysfs files of a namespace: only `ip netns exec` mounts the /sys that shows its devices."""
    _run(["ip", "netns", "exec", end.namespace, "tee", *paths], value)


def _path(end: End) -> Path:
    return _NAMESPACES / end.namespace


def _remove_namespace(end: End) -> list[str]:
    if not _path(end).exists():
        return []
    said = _end_processes(end)
    # With a process left in it, an unnamed namespace would keep the pair alive. What the kernel or a killed
    # `up` has already taken away, or never made, is no error.
    with suppress(NetprobeError):
        _run(["ip", "-n", end.namespace, "link", "delete", end.device])
    try:
        _run(["ip", "netns", "delete", end.namespace])
    except NetprobeError:
        if _path(end).exists():
            raise
    return [*said, f"removed namespace {end.namespace}"]


def _pids(end: End) -> set[int]:
    try:
        listed = _run(["ip", "netns", "pids", end.namespace]).split()
    except NetprobeError:  # a namespace of which only the name exists
        return set()
    return {int(pid) for pid in listed} - {os.getpid()}


def _end_processes(end: End) -> list[str]:
    """Ask the processes in the namespace to end; one that will not may be a shell and is only named."""
    asked = _pids(end)
    for pid in asked:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    left, deadline = asked, time.monotonic() + _END_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = _pids(end) & asked
    said = [f"ended process {pid} in {end.namespace}" for pid in sorted(asked - left)]
    return said + [f"process {pid} in {end.namespace} does not end: left running" for pid in sorted(left)]


def _restore_busy_poll() -> list[str]:
    changed = _read_state()
    if changed is None or changed.before == changed.during:
        return []
    now = _read_busy_poll()
    if now == changed.during:
        _BUSY_POLL.write_text(f"{changed.before}\n")
        return [f"restored net.core.busy_poll to {changed.before}"]
    if now == changed.before:
        return []
    return [f"left net.core.busy_poll at {now}: it was changed while the lab was up"]


def _read_state() -> _BusyPoll | None:
    try:
        state = json.loads(STATE.read_text())
        if state["version"] != _STATE_VERSION:
            hint = "take the lab down with that version"
            raise NetprobeError(f"{STATE} was written by another version of netprobe", hint=hint)
        return _BusyPoll(**state["busy_poll"]) if "busy_poll" in state else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        hint = f"check net.core.busy_poll, then remove {STATE}"
        raise NetprobeError(f"{STATE} cannot be read: {error}", hint=hint) from error


def _run(command: list[str], text: str = "") -> str:
    try:
        # In a process group of its own: Ctrl-C in the terminal must not break the way down.
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
            process_group=0,
        )
    except FileNotFoundError as error:
        hint = "install the packages iproute2 and ethtool"
        raise NetprobeError(f"{command[0]} is not here", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise NetprobeError(f"no answer in {_COMMAND_SECONDS:.0f} s: {' '.join(command)}") from error
    if done.returncode:
        raise NetprobeError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
