"""The table of drills: each runs at a size and says what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metaembed_rag.errors import IndexLockedError

EngineName = Literal["edge", "local"]

#: Seconds within which a second process must have been told that the index is open.
AT_ONCE = 5.0
#: Bytes that a hundred searches may leave behind.
LEAK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to: its size in words, what was counted, and what must not be."""

    size: str
    figures: Mapping[str, str]
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill.

    Attributes:
        title: what is tried, for the document.
        run: runs it at a size in an empty folder. An AssertionError is a finding too.
        full: the size of the full form.
        small: the size in the test suite.
    """

    title: str
    run: Callable[[int, Path], Found]
    full: int
    small: int


def kills(kind: str, engine: EngineName) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .kills.drill import run_kills

        report = run_kills(kind, engine, size, folder)
        figures = {
            "kills while opening or mending": str(report.opening),
            "kills in the middle of": _counted(report.interrupted),
            "acknowledged before": _counted(report.acknowledged),
            "pages compared": f"{report.pages:,}",
            "vectors compared": f"{report.vectors:,}",
        }
        return Found(f"{report.kills} SIGKILLs", figures)

    return run


def sequences(engine: EngineName) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .machine import run_machine

        ran, steps = run_machine(engine, size)
        return Found(f"{ran} sequences", {"steps": f"{steps:,}"})

    return run


def threads(engine: EngineName) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .threads import run_threads

        report = run_threads(engine, size, folder)
        figures = {"done": _counted(report.done), "documents checked": f"{report.documents:,}"}
        return Found(f"8 readers and 2 writers for {size} s", figures, tuple(report.wrong))

    return run


def second(engine: EngineName) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .second import run_second

        report = run_second(engine, folder, pages=size)
        # The command line knows the embedded engine only, and refuses a folder of the local mode as no index of it.
        words = "open in another process" if engine == "edge" else "holds no index"
        findings = []
        if report.error != IndexLockedError.__name__ or report.code != 1 or words not in report.said:
            findings.append(f"the second process saw {report}")
        if report.seconds > AT_ONCE:
            findings.append(f"the second process was told after {report.seconds:.1f} s")
        figures = {"told after": f"{report.seconds:.3f} s", "in these words": report.words.partition(" ")[2]}
        return Found(f"an index of {size:,} pages", figures, tuple(findings))

    return run


def fuzz(target: str) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .fuzz.runner import run_fuzz

        report = run_fuzz(target, size)
        figures = {
            "outcomes": _counted(report.outcomes),
            "slowest": f"{report.slowest:.2f} s",
            "most memory": f"{report.peak_bytes >> 20} MB",
        }
        findings = tuple(f"input {number}: {what.strip().splitlines()[-1]}" for number, what in report.failures)
        return Found(f"{report.inputs:,} inputs", figures, findings)

    return run


def leaks(engine: EngineName) -> Callable[[int, Path], Found]:
    def run(size: int, folder: Path) -> Found:
        from .leaks import run_leaks

        report = run_leaks(engine, size, folder)
        grown = report.stretches[-1] - report.stretches[0]
        figures = {"a hundred searches": f"{report.per_hundred / 1024:.0f} kB", "all": f"{grown / 1024:.0f} kB"}
        findings = () if report.per_hundred < LEAK else (f"a hundred searches leak {report.per_hundred / 1024:.0f} kB",)
        return Found(f"{size:,} searches", figures, findings)

    return run


DRILLS: dict[str, Drill] = {
    "kills-store-edge": Drill("SIGKILL: the store, embedded engine", kills("store", "edge"), 100, 5),
    "kills-store-local": Drill("SIGKILL: the store, client's local mode", kills("store", "local"), 100, 4),
    "kills-index-edge": Drill("SIGKILL: the whole index, embedded engine", kills("index", "edge"), 15, 2),
    "kills-index-local": Drill("SIGKILL: the whole index, client's local mode", kills("index", "local"), 15, 1),
    "sequences-edge": Drill("random sequences against a dictionary, embedded engine", sequences("edge"), 500, 6),
    "sequences-local": Drill("random sequences against a dictionary, local mode", sequences("local"), 500, 4),
    "threads-edge": Drill("readers beside writers, embedded engine", threads("edge"), 60, 3),
    "threads-local": Drill("readers beside writers, local mode", threads("local"), 60, 2),
    "second-edge": Drill("a second process, embedded engine", second("edge"), 2_000, 50),
    "second-local": Drill("a second process, local mode", second("local"), 2_000, 50),
    "leaks-edge": Drill("memory, embedded engine", leaks("edge"), 1_000, 100),
    "leaks-local": Drill("memory, local mode", leaks("local"), 1_000, 100),
    "fuzz-pdf": Drill("hostile PDFs", fuzz("pdf"), 2_500, 60),
    "fuzz-pictures": Drill("hostile pictures", fuzz("pictures"), 2_500, 60),
    "fuzz-texts": Drill("hostile texts and Markdown", fuzz("texts"), 2_000, 60),
    "fuzz-filters": Drill("hostile filters, run on both engines", fuzz("filters"), 2_500, 100),
    "fuzz-arguments": Drill("hostile texts, ids, metadata and budgets", fuzz("arguments"), 500, 30),
    "fuzz-models": Drill("hostile model folders", fuzz("models"), 200, 4),
    "fuzz-edge-indexes": Drill("damaged indexes of the embedded engine", fuzz("edge-indexes"), 200, 8),
    "fuzz-local-indexes": Drill("damaged indexes of the local mode", fuzz("local-indexes"), 300, 15),
    "fuzz-cli": Drill("hostile command lines", fuzz("cli"), 500, 20),
}


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counter.most_common()) or "none"
