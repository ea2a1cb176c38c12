"""Without root, kernel tests are skipped with a reason, or fail if NETPROBE_REQUIRE_KERNEL is set."""

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
    status, output = run_as_nobody(checkout, "0")
    assert status == 0, output
    assert "1 skipped" in output
    assert "CAP_BPF" in output


def test_failing_where_required(checkout):
    status, output = run_as_nobody(checkout, "1")
    assert status == 1, output
    assert "NETPROBE_REQUIRE_KERNEL=1" in output
    assert "CAP_BPF" in output
