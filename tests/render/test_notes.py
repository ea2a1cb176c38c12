"""Lines above and below every table."""

from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

from netprobe.render.notes import cost_advice
from netprobe.run.model import Run
from netprobe.run.store import read_run

RECORDED = Path(__file__).parents[2] / "dashboards" / "runs" / "faulty"


@pytest.mark.parametrize(
    ("share", "elapsed", "advised"),
    [(11.5, None, True), (3.0, None, True), (2.9, None, False), (None, None, False), (11.5, 60.0, False)],
)
def test_light_is_recommended_after_an_expensive_recording(share, elapsed, advised):
    run = read_run(RECORDED)
    window = replace_fields(run.info.recording, elapsed_seconds=elapsed)
    run = Run(
        replace_fields(run.info, cost=replace_fields(run.info.cost, estimated_cpu_pct_of_one=share), recording=window),
        run.tables,
    )
    assert ("--light" in (cost_advice(run) or "")) == advised
