"""docs/reliability.md, written from the results that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .drills import DRILLS
from .results import ROOT, Result

DOCUMENT = ROOT / "docs" / "reliability.md"

_METHODS = {
    "kills": (
        "Killed at random moments",
        """
A writer process works through a table of operations (`tests/reliability/kills/operations.py`):
add, replace, write several documents, give a page's id to a text, delete by source, delete pages by id, resize,
calibrate, settle, close and open. It announces each before it begins and acknowledges it afterwards, and is ended by
SIGKILL at a random moment: while it works, while it opens the index or makes a new one, or while it mends what the last
kill left. Then another process opens the index and proves that

- every acknowledged document is found, at every budget, by search and by `get`, and nothing that was deleted is;
- a document whose change was under way is there in its old or in its new version, with all of its pages;
- text, metadata and score of every page and every stored vector are what was written (to the bit where the store is
  drilled with drawn vectors, to 1e-4 where the model embeds again), and nothing else lies in the index;
- the interrupted operation, run again, takes effect.
""",
    ),
    "sequences": (
        "Random sequences against a dictionary",
        """
Hypothesis calls the methods of an index in any order (texts and pages added, replaced and refused, deleted by id
and by source, searches with filters at every budget, `get`, settling, closing and opening) and compares every
answer, every score and the counts after every step with a dictionary
(`tests/reliability/dictionary.py`) that knows nothing of the index. The vectors are the shipped
model's.
""",
    ),
    "threads": (
        "Readers beside writers",
        """
Eight threads search and `get` while two add, replace and delete. An answer is right if each document in it is there
in a version that stood at some moment between the question and the answer: the old one or the new one, whole, with
its own scores. Afterwards, and once more after reopening, everything must be as it was written last.
""",
    ),
    "second": (
        "A second process",
        """
An embedded index belongs to one process. Another one that opens it must be told so in words within a second,
whatever the size of the index (imports are not counted), the command line must end with code 1, and the first
process must not notice.
""",
    ),
    "leaks": (
        "Memory",
        """
In a process of its own, with one allocator arena: 300 searches to warm up, then the resident memory after every
further hundred (20 queries of different lengths, every budget, every second one filtered). The figure is the slope
of a straight line through the measurements; a hundred searches may leave 1 MB behind.
""",
    ),
    "fuzz": (
        "Hostile input",
        """
Inputs are drawn from a seeded generator (`tests/reliability/fuzz/hostile.py`), so that each is told
by its target, seed and number, and sent through in worker processes that are watched. An input may be taken or
refused by one of this project's errors. It is a finding if anything else is raised, if the process dies or asks for
more memory than its target may have, if the input takes longer than it may, or if what was taken comes out wrong:
pages that were not counted, boxes outside the page, pictures over the limit, text that cannot be stored, engines
that disagree about a filter, metadata that changed, a traceback on the command line. Damaged indexes are not judged
by what they still hold: no checksum covers it.
""",
    ),
}


def write_document(results: Mapping[str, Result], path: Path = DOCUMENT) -> None:
    """Write the whole document anew."""
    lines = [
        "# Reliability",
        "",
        "What the package promises to survive, tried on real files, engines and processes. `make reliability`",
        "runs all in full, hours on a small machine, and writes this document; `python -m tests.reliability --only",
        "kills` runs a part of it and replaces that part's figures; the test suite runs a small form of every drill.",
        "",
        "| Drill | Size | Findings | Minutes | Date |",
        "|---|---|---|---|---|",
    ]
    for name, drill in DRILLS.items():
        result = results.get(name)
        if result is None:
            lines.append(f"| {drill.title} | not run yet | | | |")
            continue
        size = result.size if result.full else f"{result.size} (full form: {drill.full:,})"
        verdict = "none" if result.passed else f"**{len(result.findings)}**"
        lines.append(f"| {drill.title} | {size} | {verdict} | {result.seconds / 60:.1f} | {result.date} |")
    total = sum(_inputs(result) for name, result in results.items() if name.startswith("fuzz-"))
    lines += ["", f"Hostile inputs in all: {total:,}.", ""]
    for family, (title, method) in _METHODS.items():
        lines += [f"## {title}", method.rstrip(), ""]
        for name, drill in DRILLS.items():
            result = results.get(name)
            if name.split("-")[0] != family or result is None:
                continue
            figures = "; ".join(f"{key}: {value}" for key, value in result.figures.items())
            lines.append(f"- **{drill.title}**, {result.size}: {figures}.")
            lines += [f"  - finding: {_plain(finding)}" for finding in result.findings[:10]]
        lines.append("")
    lines += ["## Machine and versions", ""]
    grounds = {
        (result.machine, ", ".join(f"{k} {v}" for k, v in result.versions.items())) for result in results.values()
    }
    lines += [f"- {machine}; {versions}" for machine, versions in sorted(grounds)]
    lines += ["", "Times depend on what else the machine does; nothing above is a benchmark of speed.", ""]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _inputs(result: Result) -> int:
    return int(result.size.split()[0].replace(",", ""))


def _plain(text: str) -> str:
    """One line that Markdown does not interpret."""
    return f"`{' '.join(text.replace('`', chr(39)).split())[:300]}`"
