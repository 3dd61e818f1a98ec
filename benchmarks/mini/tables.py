"""Write the measured tables into the README (short), the card of mini (full) and the docs, between their markers.

Example:
    python benchmarks/mini/tables.py

Reads ladder.json, storage.json, scanned.json and hybrid.json of ``benchmarks/results``. A block starts with
``<!-- ladder -->``, ``<!-- storage -->``, ``<!-- scanned -->`` or ``<!-- hybrid -->`` and ends with ``<!-- end -->``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
CARD = ROOT / "metaembed_rag" / "embedding" / "pretrained" / "mini" / "README.md"

GUIDE = ROOT / "docs" / "howto" / "hybrid.md"

NAMES = {
    "pubmedqa": "PubMedQA",
    "tatqa": "TAT-QA dev",
    "wikitq": "WikiTableQuestions",
    "qed": "Natural Questions (QED dev)",
    "fairytaleqa": "FairytaleQA, validation and test",
    "financebench": "FinanceBench",
}
#: How hybrid.json calls a search by words alone.
WORDS = "words"
COLUMNS = {"ndcg5": "nDCG@5", "p1": "P@1", "r5": "R@5"}


def main() -> None:
    """Rewrite the blocks in place."""
    ladder, storage, scans, hybrid = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("ladder", "storage", "scanned", "hybrid")
    )
    words = {"hybrid": with_words(hybrid)}
    _write(README, {"ladder": short(ladder), **words})
    _write(CARD, {"ladder": full(ladder), "storage": bytes_a_page(storage), "scanned": scanned(scans), **words})
    _write(GUIDE, words)


def short(report: dict[str, Any]) -> str:
    """nDCG@5 of every way of searching, a benchmark a column; blank where a rival was not measured."""
    benchmarks = report["benchmarks"]
    columns = [dict(_lines(result)) for result in benchmarks.values()]
    lines = [
        "| nDCG@5 | " + " | ".join(NAMES[name] for name in benchmarks) + " |",
        "|---|" + "---|" * len(benchmarks),
    ]
    lines += [
        f"| {label} | "
        + " | ".join(_short(column[label]["ndcg5"]) if label in column else "" for column in columns)
        + " |"
        for label in columns[0]
    ]
    return "\n".join(lines)


def full(report: dict[str, Any]) -> str:
    """Quality, bytes a document and milliseconds, a table a benchmark."""
    blocks = []
    for name, result in report["benchmarks"].items():
        parts = f" of {result['parts']} filings" if result["parts"] > 1 else ""
        unit = "pages" if parts else "documents"
        lines = [
            f"| {NAMES[name]}: {result['queries']:,} questions, {result['documents']:,} {unit}{parts} | "
            + " | ".join(COLUMNS.values())
            + " | bytes | ms |",
            "|---|" + "---|" * (len(COLUMNS) + 2),
        ]
        lines += [
            f"| {label} | "
            + " | ".join(_short(figures[column]) for column in COLUMNS)
            + f" | {figures['page_bytes']:,} | {figures['query_ms']:.1f} |"
            for label, figures in _lines(result)
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, f"Milliseconds: {report['machine']}."])


def bytes_a_page(report: dict[str, Any]) -> str:
    """Share of the quality that a number format keeps, (4,8), whole, and in 4 KiB."""
    shown = ("(4,8)", "(16,64)", "4 KiB")
    lines = ["| kept of nDCG@5 | format | " + " | ".join(shown) + " |", "|---|---|" + "---|" * len(shown)]
    for name, rows in report["benchmarks"].items():
        for kind in dict.fromkeys(row["format"] for row in rows):
            found = {row["budget"]: row for row in rows if row["format"] == kind}
            cells = [f"{found[budget]['kept']:.1%} in {found[budget]['page_bytes']:,} B" for budget in shown]
            lines.append(f"| {NAMES[name]} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scanned(report: dict[str, Any]) -> str:
    """nDCG@5 of the same pages by their text layer and by OCR."""
    ways = ("text layer", "OCR")
    names = list(report["text layer"])
    lines = [f"| nDCG@5 of {report['questions']} questions, {report['pages']} pages | " + " | ".join(names) + " |"]
    lines.append("|---|" + "---|" * len(names))
    lines += [f"| {way} | " + " | ".join(_short(report[way][name]) for name in names) + " |" for way in ways]
    return "\n".join(lines)


def with_words(report: dict[str, Any]) -> str:
    """nDCG@5 by words alone, and at every budget with and without them, a benchmark a column."""
    benchmarks = report["benchmarks"]
    ways = [way for way in next(iter(benchmarks.values()))["ways"] if way.endswith(f" and {WORDS}")]
    lines = [
        "| nDCG@5, in brackets without words | " + " | ".join(NAMES[name] for name in benchmarks) + " |",
        "|---|" + "---|" * len(benchmarks),
        "| words alone | " + " | ".join(_short(one["ways"][WORDS]["ndcg5"]) for one in benchmarks.values()) + " |",
    ]
    for way in ways:
        budget = way.removesuffix(f" and {WORDS}")
        cells = [
            f"{_short(one['ways'][way]['ndcg5'])} ({_short(one['ways'][budget]['ndcg5'])})"
            for one in benchmarks.values()
        ]
        lines.append(f"| mini {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _lines(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from result["rivals"].items()
    for figures in result["ladder"]:
        yield "mini ({},{})".format(*figures["budget"]), figures


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _write(path: Path, blocks: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{path} has no block <!-- {name} --> ... <!-- end -->")
        text = pattern.sub(lambda found, block=block: found[1] + block + found[2], text)  # type: ignore[misc]
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
