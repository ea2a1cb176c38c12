"""run.json: its fields, declared once. They are checked when a Run is read; docs/run-format.md lists them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from netprobe.errors import NetprobeError
from netprobe.run.versions import FORMAT_VERSION

Count = Annotated[int, Meta(ge=0)]
_LONGEST = 60


def _doc(text: str) -> Meta:
    return Meta(description=text)


class HostInfo(Struct, kw_only=True, frozen=True):
    """The machine. Null: not known (imported Runs)."""

    hostname: Annotated[str | None, _doc("host name")] = None
    kernel: Annotated[str | None, _doc("kernel release")] = None
    kernel_version: Annotated[str | None, _doc("build of the kernel")] = None
    architecture: Annotated[str | None, _doc("architecture, as `uname -m` prints it")] = None
    boot_parameters: Annotated[str | None, _doc("boot parameters of the kernel")] = None
    cpus_online: Annotated[str | None, _doc("CPUs, such as `0-3`")] = None
    cpu_model: Annotated[str | None, _doc("model of the CPU")] = None
    memory_kib: Annotated[int | None, _doc("memory in KiB")] = None
    page_size: Annotated[int | None, _doc("size of a page in bytes")] = None
    cpus: Annotated[int | None, _doc("number of CPUs, as an imported report has it")] = None


class TargetInfo(Struct, kw_only=True, frozen=True):
    """What was recorded."""

    description: Annotated[str, _doc("a description of the target")]
    pids: Annotated[list[int], _doc("PIDs specified with -p")] = []
    comm: Annotated[str | None, _doc("name specified with --comm")] = None
    command: Annotated[list[str], _doc("command line of the server that netprobe started; empty: none")] = []
    threads: Annotated[Count, _doc("threads seen")] = 0
    exit_status: Annotated[
        int | None, _doc("exit status of the server that netprobe started; negative: the signal that ended it")
    ] = None


class RecordingInfo(Struct, kw_only=True, frozen=True):
    """When and for how long."""

    started: Annotated[str | None, _doc("start of the recording, ISO 8601; null: not known")] = None
    seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None, _doc("seconds that were counted; null: not known (imported Runs)")
    ]
    elapsed_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        _doc("of a duty-cycled recording: seconds from start to stop, of which `seconds` were counted"),
    ] = None
    intervals: Annotated[Count, _doc("time intervals")] = 0
    stopped_by: Annotated[
        str | None, _doc("`duration`, `target exited`, `command exited` or a signal; null: not known")
    ] = None

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("elapsed_seconds", self.elapsed_seconds)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"recording.{name} is {value}: expected a finite number")


class ProgramCost(Struct, kw_only=True, frozen=True):
    """One BPF program, from the kernel's BPF run-time statistics."""

    program: Annotated[str, _doc("name of the program")] = ""
    attached_to: Annotated[str, _doc("attach point")] = ""
    run_time_ns: Annotated[Count, _doc("run time while the statistics were enabled")] = 0
    run_cnt: Annotated[Count, _doc("runs in that time")] = 0
    mean_ns: Annotated[float | None, _doc("mean run time; null: it did not run")] = None
    estimated_total_ns: Annotated[float | None, _doc("run time scaled to the whole recording")] = None


class CostInfo(Struct, kw_only=True, frozen=True):
    """netprobe's own cost."""

    programs: Annotated[list[ProgramCost], _doc("the BPF programs")] = []
    accounted_seconds: Annotated[float, _doc("time for which the statistics were enabled")] = 0.0
    estimated_cpu_pct_of_one: Annotated[
        float | None, _doc("run time of all programs in percent of one CPU; null: this kernel has no such statistics")
    ] = None
    attach_seconds: Annotated[float, _doc("time from the start of netprobe until all probes were attached")] = 0.0
    peak_resident_kib: Annotated[int, _doc("peak memory of netprobe in KiB")] = 0


class RequestsInfo(Struct, kw_only=True, frozen=True):
    """Requests served in the elapsed time of the recording."""

    count: Annotated[Annotated[float, Meta(ge=0)], _doc("how many")]
    source: Annotated[str, _doc("where the number comes from")]

    def __post_init__(self) -> None:
        if not math.isfinite(self.count):
            raise ValueError(f"requests.count is {self.count}: expected a finite number")


class ImportedReport(Struct, kw_only=True, frozen=True):
    """A report that was read."""

    format: Annotated[str, _doc("tool")] = ""
    kind: Annotated[str, _doc("what it has: `calls`, `switches` …")] = ""
    source: Annotated[str, _doc("file")] = ""
    first_line: Annotated[int | None, _doc("first line of the report; null: a binary file")] = None
    last_line: Annotated[int | None, _doc("last line of the report; null: a binary file")] = None
    rows: Annotated[Count, _doc("rows that were read")] = 0
    seconds: Annotated[float | None, _doc("length; null: not in the report")] = None
    skipped_lines: Annotated[Count, _doc("lines that could not be read")] = 0


class ImportedInfo(Struct, kw_only=True, frozen=True):
    """What `netprobe import` read."""

    reports: Annotated[list[ImportedReport], _doc("the reports")] = []
    notes: Annotated[list[str], _doc("assumptions")] = []
    unknown: Annotated[list[str], _doc("what the reports do not contain")] = []
    only_most_frequent: Annotated[bool, _doc("whether system calls that are not listed may have been made")] = False


class RunInfo(Struct, kw_only=True, frozen=True):
    """The content of run.json, except for the names of the tables."""

    recording: Annotated[RecordingInfo, _doc("when and for how long")]
    target: Annotated[TargetInfo, _doc("what was recorded")]
    format_version: Annotated[int, _doc("version of the format")] = FORMAT_VERSION
    netprobe_version: Annotated[str, _doc("version of netprobe that wrote the Run")] = "?"
    host: Annotated[HostInfo, _doc("the machine")] = HostInfo()
    probes: Annotated[list[str], _doc("probes that were recorded, or formats that were imported")] = []
    attached: Annotated[list[str], _doc("BPF programs with their attach points")] = []
    attach_mechanisms: Annotated[dict[str, str], _doc("fallback chains, and the attach mechanism that was used")] = {}
    unavailable: Annotated[list[str], _doc("sentences: what could not be attached")] = []
    dropped: Annotated[list[str], _doc("sentences: what was not counted")] = []
    cost: Annotated[CostInfo, _doc("netprobe's own cost")] = CostInfo()
    requests: Annotated[RequestsInfo | None, _doc("requests served; missing: not known")] = None
    imported: Annotated[ImportedInfo | None, _doc("what was imported; missing in a recording")] = None

    def __post_init__(self) -> None:
        if self.recording.seconds is None and self.imported is None:
            raise ValueError("recording.seconds is null, and the Run was not imported")


class RunFile(RunInfo, kw_only=True, frozen=True):
    """The content of run.json."""

    tables: Annotated[list[str], _doc("names of the tables, each in a file NAME.parquet")]


def parse_info(content: Mapping[str, Any], file: Path) -> RunFile:
    """Check the content of a run.json; raises `NetprobeError` that names the file and the field."""
    try:
        return msgspec.convert(content, RunFile)
    except msgspec.ValidationError as error:
        raise NetprobeError(f"{file} is corrupt: {_reason(str(error), content)}.") from error


def info_as_json(info: RunInfo) -> dict[str, Any]:
    """Plain values for JSON; optional objects without a value are skipped."""
    content: dict[str, Any] = msgspec.to_builtins(info)
    for parent, name in ((content, "requests"), (content, "imported"), (content["recording"], "elapsed_seconds")):
        if parent[name] is None:
            del parent[name]
    if content["host"]["cpus"] is None:
        del content["host"]["cpus"]
    return content


def _reason(message: str, content: Mapping[str, Any]) -> str:
    """The reason of msgspec, which ends with the path of the field, with the path and the value in front."""
    reason, _, path = message.partition(" - at `$")
    path = path.removesuffix("`").removeprefix(".")
    if reason.startswith(("recording.", "requests.")):
        # From a __post_init__ above, which knows the field better than the path does.
        return reason
    if missing := re.search(r"missing required field `(\w+)`", reason):
        return f"{'.'.join(filter(None, (path, missing[1])))} is missing"
    value: Any = content
    for key in re.findall(r"\w+", path):
        value = value.get(key) if isinstance(value, dict) else value[int(key)] if key.isdigit() else None
    reason = reason[:1].lower() + reason[1:]
    return f"{path} is {_shown(value)}: {reason}" if path else reason


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
