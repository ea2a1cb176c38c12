"""Two network namespaces connected by a veth pair on which sockets have NAPI ids, so that busy polling works.

`net.core.busy_poll` is one value for the whole machine: on Linux 6.18 namespaces do not have separate values. `up`
therefore writes the previous value to a state file before it changes anything. `down` needs only that file, so it also
works after `up` was killed, and when it is repeated.
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
from netprobe.lab.signals import SignalException, deferred

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
    """Options of the namespaces.

    `defer`: defer interrupts (napi_defer_hard_irqs, gro_flush_timeout). `rps_cpus`: CPUs that process the packets of
    the server's receive queues. `busy_poll_us`: net.core.busy_poll, for the whole machine.
    """

    queues: int = os.cpu_count() or 1
    defer: bool = False
    rps_cpus: tuple[int, ...] = ()
    busy_poll_us: int | None = None


@dataclass(frozen=True)
class Lab:
    """The namespaces that `up` created."""

    server: End
    client: End
    options: LabOptions


@dataclass(frozen=True)
class _BusyPoll:
    before: int
    during: int


def up(options: LabOptions = LabOptions()) -> Lab:
    """Create both namespaces; remove everything again if that fails."""
    with deferred():
        return _up(options)


def _up(options: LabOptions) -> Lab:
    _check(options)
    _write_state(options)
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
    """Remove all that exists of the lab; one line for each namespace, process and setting."""
    _require_root()
    with deferred():
        removed = [line for end in _ENDS for line in _remove_namespace(end)]
        removed += _restore_busy_poll()
        for path in (STATE, *STATE.parent.glob(STATE.name + ".*")):
            path.unlink(missing_ok=True)
    return removed


def is_up() -> bool:
    """Whether any part of the lab exists."""
    return STATE.exists() or any(_path(end).exists() for end in _ENDS)


@contextmanager
def lab(options: LabOptions = LabOptions()) -> Iterator[Lab]:
    """Create the lab for a `with` block, and remove it however the block ends."""
    signals = SignalException()
    with signals.handled():
        created = up(options)
        # A signal may raise just before disarming, but only once: the outer call then removes the lab.
        try:
            try:
                signals.arm()
                yield created
            finally:
                signals.armed = False
                down()
        finally:
            down()


def _check(options: LabOptions) -> None:
    _require_root()
    if is_up():
        raise NetprobeError("The lab is already up, or was not removed.", hint="Run: netprobe lab down")
    cpus = os.cpu_count() or 1
    if not 1 <= options.queues <= 64:
        raise NetprobeError(
            f"A veth pair with {options.queues} queues is not possible.", hint="Specify 1 to 64 queues."
        )
    if any(not 0 <= cpu < cpus for cpu in options.rps_cpus):
        raise NetprobeError(
            f"RPS is specified for a CPU that does not exist: {', '.join(map(str, options.rps_cpus))}.",
            hint=f"Specify CPUs from 0 to {cpus - 1}.",
        )
    if options.busy_poll_us is not None:
        if options.busy_poll_us < 0:
            raise NetprobeError(f"net.core.busy_poll cannot be {options.busy_poll_us}.")
        _read_busy_poll()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise NetprobeError("Network namespaces need root.", hint="Run the command with sudo.")


def _read_busy_poll() -> int:
    try:
        return int(_BUSY_POLL.read_text())
    except FileNotFoundError as error:
        raise NetprobeError(
            "net.core.busy_poll does not exist here.",
            hint="Run the command outside of containers and network namespaces.",
        ) from error


def _write_state(options: LabOptions) -> None:
    """Write the state file. Unlike a rename, a link fails if another process created the file first."""
    state: dict[str, object] = {"version": _STATE_VERSION}
    if options.busy_poll_us is not None:
        state["busy_poll"] = asdict(_BusyPoll(_read_busy_poll(), options.busy_poll_us))
    temporary = STATE.with_name(f"{STATE.name}.{os.getpid()}")
    temporary.write_text(json.dumps(state))
    try:
        os.link(temporary, STATE)
    except FileExistsError as error:
        raise NetprobeError("The lab is already up.", hint="Run: netprobe lab down") from error
    finally:
        temporary.unlink()


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
        # Duplicate address detection would delay the use of the address by a second.
        _run([*ip, "addr", "add", f"{end.address6}/64", "dev", end.device, "nodad"])
    for device in ("lo", end.device):
        _run([*ip, "link", "set", device, "up"])
    # GRO gives veth a NAPI instance; without TSO and GSO, TCP packets pass it and sockets get a NAPI id.
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
    """The CPUs as a bitmap of sysfs: groups of 32 bits, the highest first."""
    mask = sum(1 << cpu for cpu in set(cpus))
    groups = [f"{mask >> shift & 0xFFFFFFFF:08x}" for shift in range(0, max(cpus) + 1, 32)]
    return ",".join(reversed(groups))


def _write(end: End, paths: list[str], value: str) -> None:
    """Write sysfs files of a namespace; only `ip netns exec` mounts a /sys with the devices of the namespace."""
    _run(["ip", "netns", "exec", end.namespace, "tee", *paths], value)


def _path(end: End) -> Path:
    return _NAMESPACES / end.namespace


def _remove_namespace(end: End) -> list[str]:
    if not _path(end).exists():
        return []
    lines = _end_processes(end)
    # A remaining process would keep the namespace and the veth pair alive. It is not an error if the kernel has removed
    # the device, or a killed `up` did not create it.
    with suppress(NetprobeError):
        _run(["ip", "-n", end.namespace, "link", "delete", end.device])
    try:
        _run(["ip", "netns", "delete", end.namespace])
    except NetprobeError:
        if _path(end).exists():
            raise
    return [*lines, f"removed namespace {end.namespace}"]


def _pids(end: End) -> set[int]:
    try:
        listed = _run(["ip", "netns", "pids", end.namespace]).split()
    except NetprobeError:  # only the name of the namespace exists
        return set()
    return {int(pid) for pid in listed} - {os.getpid()}


def _end_processes(end: End) -> list[str]:
    """Send SIGTERM to the processes in the namespace; a process that does not end, such as a shell, is reported."""
    pids = _pids(end)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    left, deadline = pids, time.monotonic() + _END_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = _pids(end) & pids
    lines = [f"ended process {pid} in {end.namespace}" for pid in sorted(pids - left)]
    return lines + [f"process {pid} in {end.namespace} does not end and still runs" for pid in sorted(left)]


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
    return [f"kept net.core.busy_poll at {now}: it was changed while the lab was up"]


def _read_state() -> _BusyPoll | None:
    try:
        state = json.loads(STATE.read_text())
        if state["version"] != _STATE_VERSION:
            hint = "Remove the lab with that version."
            raise NetprobeError(f"{STATE} was written by another version of netprobe.", hint=hint)
        return _BusyPoll(**state["busy_poll"]) if "busy_poll" in state else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        hint = f"Check net.core.busy_poll, then delete {STATE}."
        raise NetprobeError(f"{STATE} cannot be read: {error}.", hint=hint) from error


def _run(command: list[str], text: str = "") -> str:
    try:
        # In a separate process group, so that Ctrl-C in the terminal does not interrupt the removal.
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
        hint = "Install the packages iproute2 and ethtool."
        raise NetprobeError(f"{command[0]} is not installed.", hint=hint) from error
    except subprocess.TimeoutExpired as error:
        raise NetprobeError(f"No answer within {_COMMAND_SECONDS:.0f} s: {' '.join(command)}") from error
    if done.returncode:
        raise NetprobeError(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
