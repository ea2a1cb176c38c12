"""The package and the function that share the name `netprobe.load`."""

import subprocess
import sys

RUN = "tests/data/runs/recv"


def test_netprobe_load_reads_a_run_before_and_after_the_import_of_the_package(checkout):
    program = (
        "import netprobe\n"
        f"before = netprobe.load({RUN!r})\n"
        "import netprobe.load.rounds\n"
        f"after = netprobe.load({RUN!r})\n"
        "assert type(before) is type(after) is netprobe.Run\n"
        "assert netprobe.load.rounds.SUITE == 'bench.json'\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=checkout, check=True, timeout=60)
