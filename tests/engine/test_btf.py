import json

import pytest

from netprobe.engine.btf import PATH, Btf, RememberedTypes, UnansweredError
from netprobe.errors import NotPossibleHereError


def test_no_btf():
    with pytest.raises(NotPossibleHereError, match="no BTF type information") as error:
        Btf("/nonexistent/vmlinux")
    assert "CONFIG_DEBUG_INFO_BTF" in error.value.hint


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, b"\x9f\xeb\x01\x00" + b"\xff" * 100])
def test_a_file_without_btf(tmp_path, content, capfd):
    (tmp_path / "vmlinux").write_bytes(content)
    with pytest.raises(NotPossibleHereError, match="no BTF that this libbpf can read"):
        Btf(str(tmp_path / "vmlinux"))


@pytest.fixture(scope="module")
def btf():
    import os

    if not os.access(PATH, os.R_OK):
        pytest.skip(f"{PATH} cannot be read here")
    opened = Btf()
    yield opened
    opened.close()
    opened.close()


def test_fields_of_this_kernel(btf):
    assert btf.offset("list_head", "next") == 0
    assert btf.offset("list_head", "prev") == 8
    assert btf.size("list_head") == 16
    assert btf.offset("task_struct", "tgid") == btf.offset("task_struct", "pid") + 4
    assert btf.size("task_struct") > btf.offset("task_struct", "comm") > 0
    # Through an anonymous union, and a nested struct.
    assert btf.offset("task_struct", "thread_info.status") - btf.offset("task_struct", "thread_info") < 64
    assert btf.has_field("sock", "__sk_common.skc_incoming_cpu")
    assert btf.has_function("tcp_recvmsg")


def test_missing_structs_and_fields(btf):
    assert not btf.has_field("task_struct", "nosuchfield")
    assert not btf.has_function("nosuchfunction")
    assert not btf.has_field("nosuchstruct", "x")
    assert not btf.has_struct("nosuchstruct")
    assert not btf.has_field("task_struct", "pid.inside_a_number")
    with pytest.raises(NotPossibleHereError, match=r"nosuchfield.*version"):
        btf.offset("task_struct", "nosuchfield")
    with pytest.raises(NotPossibleHereError, match="nosuchstruct"):
        btf.size("nosuchstruct")


def test_tracepoints(btf):
    assert btf.raw_tracepoint_arguments("sys_enter") == 2
    assert btf.raw_tracepoint_arguments("sched_switch") in (3, 4)
    assert btf.raw_tracepoint_arguments("nosuchtracepoint") is None
    assert "args[3]" in btf.switch_state or "previous" in btf.switch_state


def test_remembered_answers(btf):
    """As BTF gave them; what was never asked is not answered."""
    asked = (
        btf.offset("task_struct", "pid"),
        btf.has_field("task_struct", "nosuchfield"),
        btf.size("list_head"),
        btf.switch_state,
    )
    remembered = RememberedTypes(json.loads(json.dumps(btf.answers)))
    assert asked == (
        remembered.offset("task_struct", "pid"),
        remembered.has_field("task_struct", "nosuchfield"),
        remembered.size("list_head"),
        remembered.switch_state,
    )
    with pytest.raises(NotPossibleHereError, match=r"nosuchfield.*version"):
        remembered.offset("task_struct", "nosuchfield")
    with pytest.raises(UnansweredError):
        remembered.offset("task_struct", "never_asked")
