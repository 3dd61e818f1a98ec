"""What a hundred searches leave behind in memory, measured in a process of its own.

Usage: python -m tests.reliability.leaks ENGINE SEARCHES FOLDER
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
#: Searches before the first measurement: caches fill, allocators reach their size.
WARM_UP = 300
#: Searches between two measurements.
STRETCH = 100


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Resident memory after the warm-up and after each hundred searches, in bytes.

    Attributes:
        stretches: the measurements, the one after the warm-up first.
    """

    stretches: list[int]

    @property
    def per_hundred(self) -> float:
        """Bytes a hundred searches: the slope of a straight line through the measurements."""
        import numpy as np

        return float(np.polyfit(range(len(self.stretches)), self.stretches, 1)[0])


def run_leaks(engine: Literal["edge", "local"], searches: int, folder: Path) -> LeakReport:
    """Measure so many searches, in whole hundreds of at least one."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.reliability.leaks", engine, str(searches), str(folder)],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
        cwd=ROOT,
        # glibc keeps an arena a thread; one makes what is measured the program's and not the allocator's.
        env={**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return LeakReport(json.loads(ended.stdout))


def main(engine: Literal["edge", "local"], searches: int, folder: str) -> None:
    from metaembed_rag import LADDER, MetaEmbedIndex
    from tests.reliability.memory import resident_bytes

    # Words of all lengths, so that the warm-up sees every shape that the measurement will.
    queries = [" ".join(["ferry harbour winter coffee solar library"] * (1 + n % 3)) + f" {n}" for n in range(20)]
    with MetaEmbedIndex(Path(folder) / "index", engine=engine) as index:
        index.add_texts([f"page {n} about ferries" for n in range(50)], metadatas=[{"n": n} for n in range(50)])

        def search(count: int) -> int:
            for n in range(count):
                hits = index.search(
                    queries[n % len(queries)],
                    budget=LADDER[n % len(LADDER)],
                    top_k=10,
                    filter={"n": {"gte": 5}} if n % 2 else None,
                )
                assert len(hits) == 10
            gc.collect()
            return resident_bytes()

        measured = [search(WARM_UP)]
        measured.extend(search(STRETCH) for _ in range(max(1, searches // STRETCH)))
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])  # type: ignore[arg-type]
