"""`make bench`: the cost of netprobe and of other tools on this machine. Writes out/bench.json.

Takes about fifty minutes. `bench/run.py startup event_cost` runs only these parts; --rounds N sets the rounds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from pathlib import Path
from typing import Any

PARTS = (
    "startup", "event_cost", "locality", "throughput", "alternating", "busypoll", "record", "flame", "flame_text",
    "flame_page", "report_page",
)  # fmt: skip


def main() -> None:
    """Run the parts, print their tables, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=PARTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"))
    arguments = parser.parse_args()
    results: dict[str, Any] = {"kernel": platform.release(), "rounds": arguments.rounds}
    for part in arguments.parts:
        module = importlib.import_module(part)
        print(f"\n== {part}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        results[part] = module.run(arguments.rounds)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = arguments.output.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=2) + "\n")
    temporary.replace(arguments.output)
    print(f"\nWritten to {arguments.output}.")


if __name__ == "__main__":
    main()
