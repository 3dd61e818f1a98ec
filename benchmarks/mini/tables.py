"""Write the measured tables into the README (short) and the model card (full), between their markers.

Reads what ``ladder.py --rivals`` and ``storage.py`` wrote into ``benchmarks/results``.

Example:
    python benchmarks/mini/tables.py
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
CARD = ROOT / "metaembed_rag" / "embedding" / "pretrained" / "mini" / "README.md"

NAMES = {
    "pubmedqa": "PubMedQA",
    "tatqa": "TAT-QA dev",
    "wikitq": "WikiTableQuestions test",
    "financebench": "FinanceBench",
}


def short_table(ladder: dict[str, Any]) -> str:
    """nDCG@5 of every way on every benchmark."""
    benchmarks = ladder["benchmarks"]
    lines = [
        "| nDCG@5 | " + " | ".join(NAMES[name] for name in benchmarks) + " |",
        "|---|" + "---|" * len(benchmarks),
    ]
    columns = [dict(ways(result)) for result in benchmarks.values()]
    lines += [
        f"| {label} | " + " | ".join(_figure(column[label]["ndcg5"]) for column in columns) + " |"
        for label in columns[0]
    ]
    return "\n".join(lines)


def full_tables(ladder: dict[str, Any]) -> str:
    """Every figure of every way, a table a benchmark."""
    blocks = []
    for name, result in ladder["benchmarks"].items():
        about = f"{NAMES[name]}: {result['queries']:,} questions, {result['documents']:,} documents"
        lines = [f"| {about} | nDCG@5 | P@1 | R@5 | bytes | ms |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {label} | {_figure(row['ndcg5'])} | {_figure(row['p1'])} | {_figure(row['r5'])} "
            f"| {row['page_bytes']:,} | {row['query_ms']:.0f} |"
            for label, row in ways(result)
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def storage_table(storage: dict[str, Any]) -> str:
    """What fits in 4 KiB, in every format: share of the full quality."""
    benchmarks = storage["benchmarks"]
    lines = [
        "| 4 KiB a document | " + " | ".join(NAMES[name] for name in benchmarks) + " |",
        "|---|" + "---|" * len(benchmarks),
    ]
    fitted = {
        name: {row["format"]: row for row in rows if row["budget"] == "4 KiB"} for name, rows in benchmarks.items()
    }
    lines += [
        f"| {kind} | " + " | ".join(f"{rows[kind]['kept']:.1%}" for rows in fitted.values()) + " |"
        for kind in next(iter(fitted.values()))
    ]
    return "\n".join(lines)


def ways(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and figures of the rivals, then of every budget."""
    yield from result["rivals"].items()
    for row in result["ladder"]:
        yield "({},{})".format(*row["budget"]), row


def replace_block(path: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises:
        SystemExit: the file has no such markers.
    """
    content = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(content):
        raise SystemExit(f"{path.name} has no <!-- {name} --> ... <!-- /{name} -->")
    path.write_text(pattern.sub(lambda found: found[1] + text + found[2], content), encoding="utf-8")


def publish() -> None:
    """Rewrite the blocks of the README and the card."""
    ladder = json.loads((RESULTS / "ladder.json").read_text(encoding="utf-8"))
    storage = json.loads((RESULTS / "storage.json").read_text(encoding="utf-8"))
    if storage["fingerprint"] != ladder["fingerprint"]:
        raise SystemExit("ladder.json and storage.json are of different models: run both again")
    replace_block(README, "ladder", short_table(ladder))
    replace_block(CARD, "ladder", full_tables(ladder))
    replace_block(CARD, "storage", storage_table(storage))


def _figure(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    publish()


if __name__ == "__main__":
    main()
