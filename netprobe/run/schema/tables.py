"""Every table of a Run, declared once.

Derived from these declarations: the checks when a Run is loaded, Arrow and NumPy types, empty tables, the page
docs/run-format.md, the probe that a rule misses, the columns that comparisons use, the tables of tests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from netprobe.run.schema.columns import (
    Column,
    Compared,
    TableSchema,
    count,
    cpu,
    flag,
    measured,
    number,
    optional,
    text,
    time,
)

_INTERVAL = count("interval", "number of the time interval, a row of `intervals`")
_PID = number("pid", "process, as numbered where netprobe ran; 0: not known; -1: none", -1)
_TID = number("tid", "thread, as numbered where netprobe ran; 0: not known; -1: none; less: a listing without numbers")
_THREAD = (_PID, _TID, text("process", "name of the process"), text("thread", "name of the thread"))
COMMON = _COUNTED = (_INTERVAL, *_THREAD)
_SYSCALL = text("syscall", "name of the system call")
_BUCKET = time("bucket_start_ns", "least time in the bucket; buckets are log-linear, four per power of two")

_TIME = "Time and threads"
_SYSCALLS = "System calls"
_SWITCHES = "Context switches"
_LOCALITY = "Locality"
_POLLING = "Busy polling"
_STACKS = "Stacks"
_LOAD = "Load"
_IMPORTED = "Imported reports"
_EVERY = "every recording"
_IMPORT = "netprobe import"

_LINE = count("line", "line of the report that the row stood in")
_ROW = text("row", "`interval` or `average`")
_CALLS_AS_PRINTED = (
    _LINE,
    *_COUNTED,
    _SYSCALL,
    count("calls", "calls"),
    measured("errors", "failed calls; NaN where the report has no such column"),
    measured("share_pct", "share of the time", "percent"),
    measured("total_ns", "time in the calls", "ns"),
    measured("min_ns", "shortest call", "ns"),
    measured("avg_ns", "mean call", "ns"),
    measured("max_ns", "longest call", "ns"),
    measured("stddev_pct", "standard deviation relative to the mean", "percent"),
)
_AS_PRINTED = "; NaN, 0 or an empty name where the report has no such number"

_DECLARED = (
    TableSchema(
        "intervals",
        _TIME,
        "The time intervals of the recording.",
        (
            _INTERVAL,
            measured("start_s", "since the start of the recording", "s"),
            measured("duration_s", "length", "s", minimum=0),
            optional(
                Column(
                    "machine_switches",
                    "int64",
                    "context switches of the whole machine, counted by the kernel; missing where a report has none",
                    minimum=0,
                    compared=Compared("machine", "switches, whole machine", "switches", by_role=False),
                )
            ),
            optional(
                Column(
                    "machine_forks",
                    "int64",
                    "forks of the whole machine, counted by the kernel; missing where a report has none",
                    minimum=0,
                    compared=Compared("machine", "forks, whole machine", "forks", by_role=False, by_others=True),
                )
            ),
            optional(time("machine_idle_ns", "time that CPUs were idle, summed over CPUs; missing in older Runs")),
            optional(
                time("machine_steal_ns", "time that a hypervisor took from the CPUs, summed; missing in older Runs")
            ),
        ),
        written_by=_EVERY,
    ),
    TableSchema(
        "threads",
        _TIME,
        "The threads of the target.",
        (
            *_THREAD,
            text("cpus_allowed", "CPUs that the thread may run on, such as `0-1`; empty: not known"),
            measured("first_seen_s", "when it was first seen, since the start of the recording", "s"),
            measured("ended_s", "when it ended, since the start of the recording; NaN: it was still alive", "s"),
        ),
        written_by=_EVERY,
    ),
    TableSchema(
        "programs",
        _TIME,
        "The programs that the target ran.",
        (
            _PID,
            text("path", "path of the executable"),
            text("build_id", "its build id in hexadecimal; empty: it has none"),
            count("size_bytes", "its size"),
        ),
        written_by=_EVERY,
    ),
    TableSchema(
        "syscalls",
        _SYSCALLS,
        "System calls by thread.",
        (
            *_COUNTED,
            _SYSCALL,
            count("calls", "calls entered", Compared("system calls", "{syscall}", "calls")),
        ),
        probe="syscalls",
    ),
    TableSchema(
        "syscall_timeouts",
        _SYSCALLS,
        "System calls that can wait, by their timeout.",
        (
            *_COUNTED,
            _SYSCALL,
            text("timeout", "`zero`, `positive`, `infinite` or `unreadable`"),
            number("timeout_log2_us", "of a positive timeout: log2 of its microseconds, rounded down; else -1", -1, 63),
            count("calls", "calls", Compared("timeouts", computed=True)),
            time("timeout_total_ns", "sum of the timeouts of these calls"),
        ),
        probe="syscalls",
    ),
    TableSchema(
        "epoll_changes",
        _SYSCALLS,
        "Calls of epoll_ctl by their operation, whether they succeeded or not.",
        (*_COUNTED, text("operation", "`add`, `delete`, `modify` or `invalid`"), count("calls", "calls")),
        probe="syscalls",
    ),
    TableSchema(
        "syscall_errors",
        _SYSCALLS,
        "Failed system calls, with `netprobe syscalls -x`, `-e` or `-L`.",
        (
            *_COUNTED,
            _SYSCALL,
            text("errno", "name of the error, such as `EAGAIN`"),
            count("calls", "calls", Compared("system calls", "{syscall}", "calls", "failed with {errno}")),
        ),
        probe="syscalls",
    ),
    TableSchema(
        "syscall_latency",
        _SYSCALLS,
        "Time in system calls, with `netprobe syscalls -L`.",
        (*_COUNTED, _SYSCALL, count("calls", "calls that returned"), time("total_ns", "time in them")),
        probe="syscalls",
    ),
    TableSchema(
        "syscall_latency_histogram",
        _SYSCALLS,
        "Distribution of the time in system calls, with `netprobe syscalls -L`.",
        (*_COUNTED, _SYSCALL, _BUCKET, count("calls", "calls in the bucket")),
        probe="syscalls",
    ),
    TableSchema(
        "thread_time",
        _TIME,
        "The time of each thread by state. The states of a thread other than `alive` add up to `alive`.",
        (
            *_COUNTED,
            text("state", "`running`, `runnable` (waiting for a CPU), `asleep`, or `alive`: the time it existed"),
            text("reason", "asleep: system call, `page fault`, `stopped`, `io_uring worker` or `other`; else empty"),
            time("total_ns", "time in this state"),
            count("sleeps", "asleep: sleeps that ended"),
            time("uninterruptible_ns", "asleep: the uninterruptible part, mostly for block I/O"),
            count("woken_by_unknown", "sleeps with an unknown waker"),
            count("woken_by_hrtimer", "sleeps that a high-resolution timer ended"),
            count("woken_by_timer", "sleeps that a timer of the timer wheel ended"),
            count("woken_by_interrupt", "sleeps that another interrupt ended: of the network, of a block device"),
            count("woken_by_thread", "sleeps that a thread ended; see `wakers`"),
        ),
        probe="thread_time",
    ),
    TableSchema(
        "sleep_objects",
        _TIME,
        "Sleeps in system calls with a descriptor, by the socket or file.",
        (
            *_COUNTED,
            text("reason", "system call"),
            text(
                "object",
                "`connected`: a connection that the target opened; `accepted`: one that it accepted; `listener`, "
                "`datagram`, `unix` and `socket`: other sockets; `pipe`, `file`, `other file` (eventfd, timerfd …); "
                "`lock`: the word in memory that a futex call waits for",
            ),
            text("address", "remote address of a connection that the target opened; address of a lock; else empty"),
            number("port", "its remote port; local port of other TCP and UDP sockets; else 0", 0, 65535),
            count("sleeps", "sleeps that ended"),
            time("total_ns", "time of these sleeps"),
        ),
        probe="thread_time",
    ),
    TableSchema(
        "wakers",
        _TIME,
        "Wake-ups of a thread by another thread.",
        (
            *_COUNTED,
            number("waker_tid", "thread that woke it; 0: not visible from netprobe's PID namespace", 0),
            text("waker_thread", "its name"),
            count("wakeups", "wake-ups"),
        ),
        probe="thread_time",
    ),
    TableSchema(
        "sample_modes",
        _TIME,
        "Samples of running threads by mode.",
        (
            *_COUNTED,
            count("user", "in user mode"),
            count("kernel", "in the kernel, in a system call"),
            count("page_fault", "in the kernel, in a page fault"),
            count("interrupt", "in an interrupt"),
        ),
        probe="thread_time",
    ),
    TableSchema(
        "other_tasks",
        _TIME,
        "CPU time of the other threads of the host, of those that were there when the recording stopped or under load.",
        (
            *_THREAD,
            time("running_ns", "CPU time during the recording; threads with less than 1 ms have no row"),
        ),
        probe="thread_time",
    ),
    TableSchema(
        "peers",
        _TIME,
        "Processes of this host at the other end of the target's connections, in the same network namespace.",
        (
            _PID,
            text("process", "name of the process"),
            text("kind", "`client`: the target accepted the connections; `backend`: the target opened them"),
            number("port", "port of the server: the target's for a client, the backend's for a backend", 0, 65535),
            count("connections", "connections, under load or when the recording stopped"),
            flag("pinned", "whether each of its threads may run on one CPU only"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "listeners",
        _TIME,
        "TCP listeners of the target, a row per process that holds one.",
        (
            _PID,
            number("port", "local port", 0, 65535),
            number("inode", "inode of the socket: equal for processes that share it", 0),
            count("queued", "most connections that waited to be accepted, in snapshots under load and at stop"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "udp_sockets",
        _TIME,
        "UDP sockets of the target, a row per process that holds one.",
        (
            _PID,
            number("port", "local port", 0, 65535),
            number("inode", "inode of the socket: equal for processes that share it", 0),
            count("dropped", "datagrams that did not fit in the receive buffer, between the snapshots"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "tcp_connections",
        _TIME,
        "TCP connections of the target under load, by TCP_INFO; times and counts are those between two snapshots.",
        (
            _PID,
            number("port", "local port", 0, 65535),
            flag("accepted", "whether the target accepted it; else the target opened it"),
            measured("seconds", "time between the snapshots", minimum=0),
            time("busy_ns", "time with unacknowledged data"),
            time("receiver_limited_ns", "time in which the receive window of the other side was full"),
            time("buffer_limited_ns", "time in which the send buffer was full"),
            count("data_segments", "segments with data that were sent"),
            count("retransmitted", "segments that were sent again"),
            count("unsent_bytes", "bytes in the send buffer that were not sent, at the last snapshot"),
            count("unacked_segments", "segments without acknowledgment, at the last snapshot"),
            time("min_rtt_ns", "shortest round-trip time"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "network_counters",
        _TIME,
        "Differences of the counters of the target's network namespaces between start and stop; 0 has no row.",
        (
            text("counter", "name as in /proc/net/snmp and /proc/net/netstat, such as `TcpExt.ListenOverflows`"),
            number("value", "difference"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "cpu_limits",
        _TIME,
        "CPU quotas of the target's cgroups, and how often they throttled it during the recording.",
        (
            text("cgroup", "directory of the cgroup"),
            count("quota_us", "CPU time per period"),
            count("period_us", "length of a period"),
            count("periods", "periods with runnable threads"),
            count("throttled_periods", "periods in which the quota was used up"),
            time("throttled_ns", "time for which CPUs were throttled, summed over CPUs"),
        ),
        written_by="netprobe record",
    ),
    TableSchema(
        "switches",
        _SWITCHES,
        "Context switches away from each thread.",
        (
            *_COUNTED,
            count("voluntary", "voluntary switches", Compared("switches", "voluntary switches", "switches")),
            count(
                "involuntary",
                "involuntary switches: the thread was preempted",
                Compared("switches", "involuntary switches", "switches"),
            ),
        ),
        probe="switches",
    ),
    TableSchema(
        "next_tasks",
        _SWITCHES,
        "The same switches by the task that ran next.",
        (
            *_COUNTED,
            cpu("cpu", "CPU on which the switch took place"),
            number("next_tid", "thread that ran next, as numbered where netprobe ran; 0: idle or not visible", 0),
            text("next_thread", "its name"),
            flag("next_idle", "whether the CPU became idle"),
            count("voluntary", "voluntary switches"),
            count("involuntary", "involuntary switches", Compared("preemptions", computed=True)),
        ),
        probe="switches",
    ),
    TableSchema(
        "run_queue",
        _SWITCHES,
        "Time that runnable threads waited for a CPU, with `netprobe switches -L`.",
        (*_COUNTED, time("total_ns", "waiting time")),
        probe="switches",
    ),
    TableSchema(
        "run_queue_histogram",
        _SWITCHES,
        "Distribution of that waiting time, with `netprobe switches -L`.",
        (*_COUNTED, _BUCKET, count("waits", "waits in the bucket")),
        probe="switches",
    ),
    TableSchema(
        "reuseport_groups",
        _LOCALITY,
        "SO_REUSEPORT groups with a socket of the target.",
        (
            count("group", "number of the group"),
            text("protocol", "`tcp`, `udp`, or `?` in an imported Run"),
            text("address", "local address"),
            number("port", "local port", 0, 65535),
            flag("dual_stack", "whether it is an IPv6 socket that takes IPv4 as well"),
            optional(count("network_namespace", "inode of the network namespace; missing in imported Runs")),
            count("size", "members, including those of other processes"),
            text("steering", "`none` (hash), `cbpf`, `ebpf`, `incoming-cpu`, or `not known` in an imported Run"),
            optional(count("program_id", "id of the steering program, 0: none; missing in imported Runs")),
            text("program_name", "name of an eBPF steering program"),
            text("program", "instructions of a cBPF steering program as JSON: [code, jt, jf, k]"),
            count("program_omitted", "instructions beyond those in `program`"),
            flag("changed_while_recording", "whether the members at the start and at the end differ"),
        ),
        probe="sockets, serving",
    ),
    TableSchema(
        "reuseport_members",
        _LOCALITY,
        "Members of these groups, a row per member and thread that serves it.",
        (
            count("group", "number of the group"),
            number("index", "index in the group, which the steering program returns; -1: not known", -1),
            count("inode", "inode of the socket"),
            cpu("incoming_cpu", "SO_INCOMING_CPU; -1: not set"),
            text("owner_pids", "processes that hold the socket open, separated by commas"),
            *_THREAD,
            text("how", "how the thread serves it: `epoll`, `accept`, `io_uring`, or `listing` in an imported Run"),
            text("cpus_allowed", "CPUs that the thread may run on"),
            cpu("last_cpu", "CPU that the thread ran on last; -1: not known"),
            measured("joined_s", "when the socket joined the group; NaN: not seen", "s"),
            number("joined_tid", "thread that made it join; -1: not seen", -1),
            text("joined_thread", "its name"),
            cpu("joined_cpu", "CPU that it ran on; -1: not seen"),
        ),
        probe="sockets, serving",
    ),
    TableSchema(
        "messages",
        _LOCALITY,
        "Reads of data from TCP sockets. A message is one read that returned data.",
        (
            *_COUNTED,
            cpu("rx_cpu", "CPU that processed the last packet of the socket; -1: not known"),
            cpu("cpu", "CPU that read"),
            count("messages", "messages", Compared("locality", computed=True)),
            count("accepted", "messages on connections that the server accepted: requests, as a rule"),
            optional(
                count(
                    "same_host",
                    "messages on connections whose other end is on this host (loopback); missing in older Runs",
                )
            ),
        ),
        probe="locality",
    ),
    TableSchema(
        "sent_packets",
        _LOCALITY,
        "Packets sent on devices with several TX queues.",
        (
            *_COUNTED,
            text("device", "name of the device"),
            count("tx_queues", "TX queues that the device has"),
            count("tx_queue", "TX queue"),
            cpu("cpu", "CPU that sent"),
            count("packets", "packets"),
        ),
        probe="locality",
    ),
    TableSchema(
        "serving",
        _LOCALITY,
        "Which thread waits on which file descriptor, from a sampling window in each interval.",
        (
            *_COUNTED,
            number("fd", "file descriptor"),
            text("how", "`epoll`, `accept` or `io_uring`"),
            count("calls", "calls in the sampling windows"),
        ),
        probe="serving",
    ),
    TableSchema(
        "busy_polls",
        _POLLING,
        "Busy polls by thread and NAPI instance.",
        (
            *_COUNTED,
            count("napi_id", "NAPI id; 0: an instance without an id, such as loopback"),
            count("budget", "packets that one poll may process"),
            count("attempts", "polls", Compared("busy polling", computed=True)),
            count("hits", "polls that found packets", Compared("busy polling", computed=True)),
            count("packets", "packets that these polls found", Compared("busy polling", computed=True)),
            count("episodes", "episodes of polling, each of which ends with one last poll"),
            count("last_poll_packets", "packets found by the last polls", Compared("busy polling", computed=True)),
            time("polling_ns", "time between the first and the last poll of each episode"),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "softirq_polls",
        _POLLING,
        "Polls by the softirq.",
        (
            _INTERVAL,
            count("napi_id", "NAPI id"),
            flag("threaded", "whether a NAPI kernel thread polled"),
            optional(cpu("cpu", "CPU that polled; missing in older Runs")),
            count("polls", "polls"),
            count(
                "packets",
                "packets",
                Compared("packets", "packets by softirq, whole machine", "packets", by_role=False),
            ),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "busy_loops",
        _POLLING,
        "The kernel's busy-poll loop; no rows where this kernel does not allow to trace it.",
        (
            *_COUNTED,
            text("quantity", "`entered` (times) or `ns` (time in the loop)"),
            count("value", "its value"),
        ),
        probe="busypoll",
    ),
    TableSchema(
        "napis",
        _POLLING,
        "NAPI instances.",
        (
            count("napi_id", "NAPI id"),
            number("queue", "its place among the instances of the device", -1),
            count("defer_hard_irqs", "polls without packets before interrupts are enabled again"),
            time("gro_flush_timeout_ns", "time for which interrupts are deferred"),
            text("device", "name of the device"),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "polling_sets",
        _POLLING,
        "Epoll instances and io_uring instances of the target, a row per NAPI id of their connections.",
        (
            _PID,
            number("fd", "file descriptor"),
            text("kind", "`epoll` or `io_uring`"),
            flag("known", "whether the kernel could be asked for the three parameters that follow"),
            count("busy_poll_us", "time to busy-poll"),
            count("budget", "packets that one poll may process; 0: the default"),
            flag("prefer", "whether busy polling is preferred over interrupts"),
            number("napi_id", "NAPI id of the connections; -1: the set has no connections", -1),
            count("connections", "connections with this NAPI id"),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "polling_connections",
        _POLLING,
        "Connected TCP sockets of the target.",
        (
            _PID,
            count("napi_id", "NAPI id of the last packet; 0: none"),
            count("busy_poll_us", "SO_BUSY_POLL"),
            count("budget", "SO_BUSY_POLL_BUDGET"),
            flag("prefer", "SO_PREFER_BUSY_POLL"),
            count("connections", "sockets with these values"),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "polling_settings",
        _POLLING,
        "Settings of the network namespace.",
        (
            text("name", "`net.core.busy_poll` or `net.core.busy_read`"),
            Column("value", "int64", "its value, null: it could not be read", "us", nullable=True),
        ),
        probe="busypoll",
        used_with="busy polling",
    ),
    TableSchema(
        "polling_kernel",
        _POLLING,
        "The kernel's own count, by network namespace.",
        (
            count("network_namespace", "inode of the network namespace"),
            number("busy_poll_rx_packets", "packets received by busy polling (BusyPollRxPackets) while recording"),
        ),
        probe="busypoll",
    ),
    TableSchema(
        "polling_sleeps",
        _POLLING,
        "Sleeps of the threads: a thread that polls all the time does not sleep.",
        (_PID, _TID, number("voluntary_switches", "voluntary context switches while recording")),
        probe="busypoll",
    ),
    TableSchema(
        "profile_frames",
        _STACKS,
        "Frames of the stacks.",
        (
            text("name", "function"),
            text("module", "file or module that has the function"),
            text("kind", "`user`, `kernel`, `jit`, `inlined` …"),
        ),
        probe="stacks",
        used_with="stacks",
    ),
    TableSchema(
        "profile_stacks",
        _STACKS,
        "Stacks.",
        (Column("frames", "list[int64]", "rows of `profile_frames`, root first"),),
        probe="stacks",
        used_with="stacks",
    ),
    TableSchema(
        "profile_threads",
        _STACKS,
        "Threads of the samples.",
        (_PID, _TID, text("comm", "name of the thread")),
        probe="stacks",
        used_with="stacks",
    ),
    TableSchema(
        "profile_samples",
        _STACKS,
        "Samples, added up by stack, thread and time interval.",
        (
            count("stack", "row of `profile_stacks`"),
            count("thread", "row of `profile_threads`"),
            _INTERVAL,
            count("samples", "samples"),
            Column(
                "weight",
                "float64",
                "their weight in the unit of the profile, nanoseconds as a rule",
                compared=Compared("CPU time", computed=True),
            ),
        ),
        probe="stacks",
        used_with="stacks",
    ),
    TableSchema(
        "profile_info",
        _STACKS,
        "One row about the profile.",
        (text("info", "event, unit, duration, lost and truncated samples, as JSON"),),
        probe="stacks",
        used_with="stacks",
    ),
    TableSchema(
        "load_rounds",
        _LOAD,
        "Rounds of the load generator, with `netprobe bench`. Without `--record` the Run has no table `intervals`.",
        (
            count("round", "number of the round, from 1"),
            measured("started_s", "when it started, since the epoch", "s"),
            measured("duration_s", "length", "s", minimum=0),
            count("requests", "requests served"),
            count("errors", "requests that failed"),
            *(
                Column(name, "float64", f"latency that {share} % of the requests did not exceed", "us", minimum=0)
                for name, share in (("p50_us", "50"), ("p90_us", "90"), ("p99_us", "99"), ("p99_99_us", "99.99"))
            ),
        ),
        written_by="netprobe bench",
    ),
    TableSchema(
        "load_latency",
        _LOAD,
        "Distribution of the latency of each round.",
        (
            count("round", "number of the round"),
            time("latency_us", "latency"),
            count("requests", "requests with this latency"),
        ),
        written_by="netprobe bench",
    ),
    TableSchema(
        "load_results",
        _IMPORTED,
        "Every number of the report of wrk.",
        (
            _LINE,
            text("quantity", "what was measured, such as `latency`"),
            text("statistic", "`avg`, `p99` …"),
            text("text", "the number as printed"),
            measured("value", "the number in `unit`"),
            text("unit", "unit of `value`"),
        ),
        written_by=_IMPORT,
    ),
    *(
        TableSchema(name, _IMPORTED, description + _AS_PRINTED + ".", _CALLS_AS_PRINTED, written_by=_IMPORT)
        for name, description in (
            ("imported_calls", "System calls as printed by syscount, strace -c or perf trace -s"),
            ("imported_failed_calls", "Failed system calls as printed by syscount -x"),
            ("imported_process_calls", "System calls by process as printed by syscount -P"),
        )
    ),
    TableSchema(
        "imported_sar",
        _IMPORTED,
        "Rates as printed by sar -w.",
        (
            _LINE,
            measured("time_s", "time of day; NaN in an average", "s"),
            measured("proc_per_s", "forks per second"),
            measured("cswch_per_s", "context switches per second"),
            _ROW,
        ),
        written_by=_IMPORT,
    ),
    TableSchema(
        "imported_pidstat",
        _IMPORTED,
        "Rates as printed by pidstat -w.",
        (
            _LINE,
            _ROW,
            measured("time_s", "time of day; NaN in an average", "s"),
            _PID,
            _TID,
            text("command", "name of the process or thread"),
            measured("cswch_per_s", "voluntary context switches per second"),
            measured("nvcswch_per_s", "involuntary context switches per second"),
        ),
        written_by=_IMPORT,
    ),
    TableSchema(
        "imported_listeners",
        _IMPORTED,
        "A listing of the threads that joined a reuseport group.",
        (
            _LINE,
            count("group", "number of the group"),
            text("name", "name of the thread"),
            cpu("cpu", "CPU that it ran on"),
            count("socket", "index of its socket in the group"),
        ),
        written_by=_IMPORT,
    ),
)

TABLES: Mapping[str, TableSchema] = {table.name: table for table in _DECLARED}


def probe_of(table: str) -> str:
    """The probe, or the probes, that fill a table; the table's own name where none does."""
    declared = TABLES.get(table)
    return declared.probe if declared and declared.probe else table


def compared_columns() -> Iterator[tuple[TableSchema, Column, Compared]]:
    """The columns that comparisons use, with their tables."""
    for table in TABLES.values():
        for column in table.columns:
            if column.compared is not None:
                yield table, column, column.compared


def tables_used_with(group: str) -> tuple[str, ...]:
    """The tables of a group that are of use only together."""
    return tuple(table.name for table in TABLES.values() if table.used_with == group)


def usable(names: Collection[str]) -> tuple[tuple[str, ...], list[str]]:
    """The tables that can be used, and sentences on incomplete groups, whose tables are skipped."""
    left, skipped = list(names), []
    for group in dict.fromkeys(table.used_with for table in TABLES.values() if table.used_with):
        tables = tables_used_with(group)
        missing = [table for table in tables if table not in names]
        if missing and len(missing) < len(tables):
            skipped.append(f"the tables of {group} cannot be used: the Run has no table {' and no '.join(missing)}")
            left = [name for name in left if name not in tables]
    return tuple(left), skipped
