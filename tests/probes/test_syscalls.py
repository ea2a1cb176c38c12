import errno

import pytest

from netprobe.probes.syscalls import Probe, SyscallOptions, errno_name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (2, "ENOENT"),
        (11, "EAGAIN"),
        (62, "ETIME"),
        (512, "ERESTARTSYS"),
        (516, "ERESTART_RESTARTBLOCK"),
        (530, "errno 530"),
    ],
)
def test_names_of_errors(number, name):
    assert errno_name(number) == name


def test_every_error_that_python_has():
    assert {number: errno_name(number) for number in errno.errorcode} == errno.errorcode


def test_each_probe_is_a_pair_of_files(checkout):
    """A probe is one C file and one Python file of the same name."""
    import importlib

    for path in (checkout / "netprobe" / "probes").glob("*.py"):
        module = importlib.import_module(f"netprobe.probes.{path.stem}")
        if not hasattr(module, "Probe") or path.stem == "base":
            continue
        assert module.Probe.name == path.stem
        assert (checkout / "bpf" / module.Probe.source).exists()
        assert all("{count}" in text for text in module.Probe.dropped.values())


@pytest.mark.parametrize(
    ("options", "maps"),
    [
        (SyscallOptions(), {"syscall_calls", "syscall_waits", "epoll_changes", "other_calls"}),
        (
            SyscallOptions(failures=True),
            {"syscall_calls", "syscall_waits", "epoll_changes", "other_calls", "failed_calls"},
        ),
        (
            SyscallOptions(latency=True),
            {"syscall_calls", "syscall_waits", "epoll_changes", "other_calls", "failed_calls", "syscall_latency"},
        ),
    ],
)
def test_options_select_the_maps(options, maps):
    probe = Probe(options)
    assert {counters.map for counters in probe.counters()} == maps
    assert len(probe.attach_points()) == (2 if options.failures or options.latency else 1)
