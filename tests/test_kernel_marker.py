"""Without root the kernel's tests are skipped with a reason, and fail where the kernel was promised."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.kernel
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
ONE_TEST = "tests/kernel/test_syscalls.py::test_threads_are_counted_exactly"


def run_as_nobody(checkout, required: str) -> tuple[int, str]:
    done = subprocess.run(
        [*NOBODY, sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-rs", ONE_TEST],
        env=os.environ | {"NETPROBE_REQUIRE_KERNEL": required},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_skipped_with_a_reason(checkout):
    status, said = run_as_nobody(checkout, "0")
    assert status == 0, said
    assert "1 skipped" in said
    assert "CAP_BPF" in said


def test_failing_where_required(checkout):
    status, said = run_as_nobody(checkout, "1")
    assert status == 1, said
    assert "NETPROBE_REQUIRE_KERNEL=1" in said
    assert "CAP_BPF" in said
