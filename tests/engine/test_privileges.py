import os

import pytest

from netprobe.engine import privileges
from netprobe.errors import NotPossibleHereError

# include/uapi/linux/capability.h
BPF, PERFMON, PTRACE, ADMIN = 1 << 39, 1 << 38, 1 << 19, 1 << 21


def holding(monkeypatch: pytest.MonkeyPatch, mask: int) -> None:
    monkeypatch.setattr(privileges, "effective_capabilities", lambda: mask)


@pytest.mark.parametrize("mask", [ADMIN, BPF | PERFMON | PTRACE, (1 << 41) - 1])
def test_sufficient_capabilities(monkeypatch, mask):
    holding(monkeypatch, mask)
    privileges.require_tracing()


@pytest.mark.parametrize(
    ("mask", "missing"),
    [
        (0, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE"),
        (BPF, "CAP_PERFMON, CAP_SYS_PTRACE"),
        (BPF | PERFMON, "without CAP_SYS_PTRACE,"),
        (PERFMON | PTRACE, "without CAP_BPF,"),
    ],
)
def test_missing_capabilities_are_named(monkeypatch, mask, missing):
    holding(monkeypatch, mask)
    with pytest.raises(NotPossibleHereError, match=missing) as error:
        privileges.require_tracing()
    assert "sudo" in error.value.hint
    assert "--cap-add" in error.value.hint


def test_another_architecture(monkeypatch):
    machine = os.uname_result([*os.uname()[:4], "aarch64"])
    monkeypatch.setattr(os, "uname", lambda: machine)
    with pytest.raises(NotPossibleHereError, match="aarch64"):
        privileges.require_tracing()


def test_effective_capabilities(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n")
    assert privileges.effective_capabilities(str(tmp_path / "status")) == (1 << 41) - 1
    (tmp_path / "empty").write_text("")
    assert privileges.effective_capabilities(str(tmp_path / "empty")) == 0
