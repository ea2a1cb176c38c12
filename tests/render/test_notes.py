"""What stands around every table."""

from pathlib import Path

import pytest

from netprobe.render.notes import cheaper
from netprobe.run.model import Run
from netprobe.run.store import read_run

RECORDED = Path(__file__).parents[2] / "dashboards" / "runs" / "faulty"


@pytest.mark.parametrize(
    ("share", "elapsed", "advised"),
    [(11.5, None, True), (3.0, None, True), (2.9, None, False), (None, None, False), (11.5, 60.0, False)],
)
def test_what_took_much_could_take_less(share, elapsed, advised):
    run = read_run(RECORDED)
    window = {**run.info["recording"], **({} if elapsed is None else {"elapsed_seconds": elapsed})}
    run = Run(
        {**run.info, "cost": {**run.info["cost"], "estimated_cpu_pct_of_one": share}, "recording": window}, run.tables
    )
    assert ("--light" in (cheaper(run) or "")) == advised
