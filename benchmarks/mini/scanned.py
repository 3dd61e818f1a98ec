"""What a page loses when it is a scan: the same pages by their text layer and by OCR; scanned.json and scanned.md.

Example:
    python benchmarks/mini/scanned.py --out results --financebench financebench

Pages that hold the evidence of FinanceBench's questions, from all of their filings together. OCR takes some seconds a
page. The terms of FinanceBench are unclear: read a local copy, never redistribute it, never train on it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from options import model_parser

from metaembed_rag import MetaEmbed
from metaembed_rag.budget import LADDER
from metaembed_rag.evaluation.baselines import bm25
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.filings import read_evidence_pages
from metaembed_rag.evaluation.ladder import evaluate

logger = logging.getLogger("scanned")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the pages both ways, rank them, write both files."""
    parser = model_parser(__doc__, "folder for scanned.json and scanned.md")
    parser.add_argument("--financebench", type=Path, required=True, help="local clone that holds financebench")
    parser.add_argument("--questions", type=int, default=80, help="about so many questions")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = MetaEmbed.from_pretrained(options.model)
    layers = read_evidence_pages(options.financebench, options.questions, ocr="never")
    scans = read_evidence_pages(options.financebench, options.questions, ocr="always")
    if layers.relevant != scans.relevant:
        raise SystemExit("a page has no text by one of the two ways: their figures would not compare")
    report: dict[str, Any] = {
        "model": model.config.name,
        "fingerprint": model.fingerprint,
        "questions": len(layers.queries),
        "pages": len(layers.documents),
        "text layer": _measure(model, layers),
        "OCR": _measure(model, scans),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scanned.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "scanned.md").write_text(_markdown(report), encoding="utf-8")


def _measure(model: MetaEmbed, benchmark: Benchmark) -> dict[str, float]:
    found = {"BM25": bm25(benchmark).figures.ndcg5}
    found |= {str(row.budget): row.ndcg5 for row in evaluate(model, benchmark)}
    logger.info("%s", found)
    return {name: round(value, 4) for name, value in found.items()}


def _markdown(report: dict[str, Any]) -> str:
    names = ["BM25", *map(str, LADDER)]
    layer, scan = report["text layer"], report["OCR"]
    return "\n".join(
        [
            f"# Scanned pages: {report['model']} ({report['fingerprint']})",
            "",
            f"nDCG@5 of {report['questions']} questions of FinanceBench over the {report['pages']} pages that hold",
            "their evidence, in many filings: read from their text layer, and from a picture of 150 dpi by OCR.",
            "",
            "| | " + " | ".join(names) + " |",
            "|---|" + "---|" * len(names),
            *(
                f"| {way} | " + " | ".join(f"{report[way][name]:.3f}" for name in names) + " |"
                for way in ("text layer", "OCR")
            ),
            "| lost | " + " | ".join(f"{layer[name] - scan[name]:+.3f}" for name in names) + " |",
            "",
        ]
    )


if __name__ == "__main__":
    main()
