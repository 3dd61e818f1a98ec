"""Run drills in full, keep their figures and write docs/reliability.md.

Usage: python -m tests.reliability [--only PREFIX ...] [--size N] [--missing] [--list] [--render]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .document import write_document
from .drills import DRILLS, Drill, Found
from .results import RESULTS, Result, describe_machine, describe_versions, load_results, save_result, today


def main() -> int:
    """Exit code 1 if any drill has findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PREFIX", help="drills whose names begin like this")
    parser.add_argument("--size", type=int, help="another size than the full one")
    parser.add_argument("--missing", action="store_true", help="only what was not run in full and without findings yet")
    parser.add_argument("--list", action="store_true", help="list the drills and run nothing")
    parser.add_argument(
        "--render", action="store_true", help="write the document from the kept figures and run nothing"
    )
    options = parser.parse_args()
    chosen = {name: drill for name, drill in DRILLS.items() if name.startswith(tuple(options.only))}
    if not chosen:
        parser.error(f"no such drill; there are {', '.join(DRILLS)}")
    if options.list:
        for name, drill in chosen.items():
            say(f"{name:20} {drill.full:6,}  {drill.title}")
        return 0
    failed = 0
    for name, drill in {} if options.render else chosen.items():
        known = load_results().get(name)
        if options.missing and known is not None and known.full and known.passed:
            continue
        say(f"{name}: {drill.title} ...")
        result = run_drill(name, drill, options.size or drill.full)
        save_result(result)
        say(f"{name}: {result.size}, {'no findings' if result.passed else 'FINDINGS'}, {result.seconds:.0f} s")
        for finding in result.findings[:10]:
            say(f"    {finding}")
        failed += not result.passed
    results = load_results()
    write_document(results)
    say(f"{len(results)} of {len(DRILLS)} drills in {RESULTS.with_suffix('.md').name}")
    return int(failed > 0)


def run_drill(name: str, drill: Drill, size: int) -> Result:
    """Run one drill; whatever stops it is a finding."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="metaembed-drill-") as folder:
        try:
            found = drill.run(size, Path(folder))
        except Exception as error:  # noqa: BLE001 - the others must run all the same
            traceback.print_exc()
            found = Found(f"{size:,} planned, stopped", {}, (f"{type(error).__name__}: {error}",))
    return Result(
        drill=name,
        size=found.size,
        full=size >= drill.full,
        passed=not found.findings,
        figures=found.figures,
        findings=found.findings,
        seconds=time.monotonic() - started,
        date=today(),
        machine=describe_machine(),
        versions=describe_versions(),
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
