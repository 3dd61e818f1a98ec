"""Score a model at every budget on the development benchmarks; write ladder.json and ladder.md.

Example:
    python benchmarks/mini/ladder.py --model mini --out results --wikitq WikiTableQuestions \
        --tatqa TAT-QA --pubmedqa pubmedqa --bm25 --minilm
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from metaembed_rag import MetaEmbed
from metaembed_rag.evaluation.baselines import bm25, single_vector
from metaembed_rag.evaluation.benchmarks import READERS, Benchmark, read_benchmark
from metaembed_rag.evaluation.ladder import evaluate, monotone

logger = logging.getLogger("ladder")

COLUMNS = {"ndcg5": "nDCG@5", "ndcg10": "nDCG@10", "p1": "P@1", "r5": "R@5", "r10": "R@10", "mrr": "MRR"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate and write both files; they are rewritten after each benchmark."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folders = {name: folder for name in READERS if (folder := getattr(options, name)) is not None}
    if not folders:
        parser.error("no benchmark given: pass the folder of at least one of " + ", ".join(f"--{n}" for n in READERS))
    model = MetaEmbed.from_pretrained(options.model)
    report: dict[str, Any] = {"model": model.config.name, "fingerprint": model.fingerprint, "benchmarks": {}}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, folder in folders.items():
        benchmark = read_benchmark(name, folder)
        if options.queries:
            benchmark = _first_queries(benchmark, options.queries)
        report["benchmarks"][name] = _measure(model, benchmark, options)
        (options.out / "ladder.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (options.out / "ladder.md").write_text(_markdown(report), encoding="utf-8")


def _measure(model: MetaEmbed, benchmark: Benchmark, options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {
        "queries": len(benchmark.queries),
        "documents": len(benchmark.documents),
        "baselines": {},
    }
    if options.bm25:
        result["baselines"]["BM25"] = asdict(bm25(benchmark))
    if options.minilm:
        result["baselines"]["MiniLM, one vector"] = asdict(single_vector(benchmark, _minilm(), model.windows))
    rows = evaluate(model, benchmark)
    verdict = monotone(rows)
    result |= {"ladder": [row.to_json() for row in rows], "monotone": verdict.holds, "verdict": str(verdict)}
    for row in rows:
        logger.info("%s %s nDCG@5 %.4f P@1 %.4f R@5 %.4f", benchmark.name, row.budget, row.ndcg5, row.p1, row.r5)
    logger.info("%s: %s", benchmark.name, verdict)
    return result


def _minilm() -> Any:
    from sentence_transformers import SentenceTransformer

    from metaembed_rag.embedding.backbone import MINILM, resolve_backbone

    return SentenceTransformer(resolve_backbone(MINILM))


def _first_queries(benchmark: Benchmark, count: int) -> Benchmark:
    """The first ``count`` queries against all documents, for a quick look."""
    kept = list(benchmark.queries)[:count]
    return replace(
        benchmark,
        queries={query: benchmark.queries[query] for query in kept},
        relevant={query: benchmark.relevant[query] for query in kept},
    )


def _markdown(report: dict[str, Any]) -> str:
    lines = [f"# {report['model']} ({report['fingerprint']})", ""]
    for name, result in report["benchmarks"].items():
        lines += [
            f"## {name}: {result['queries']:,} queries, {result['documents']:,} documents",
            "",
            "| | " + " | ".join(COLUMNS.values()) + " |",
            "|---|" + "---|" * len(COLUMNS),
        ]
        lines += [_line(label, figures) for label, figures in result["baselines"].items()]
        lines += [_line("({},{})".format(*figures["budget"]), figures) for figures in result["ladder"]]
        lines += ["", result["verdict"] + ".", ""]
    return "\n".join(lines)


def _line(label: str, figures: dict[str, Any]) -> str:
    return f"| {label} | " + " | ".join(f"{figures[column]:.3f}" for column in COLUMNS) + " |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="packaged model, model folder or hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for ladder.json and ladder.md")
    for name in READERS:
        parser.add_argument(f"--{name}", type=Path, help=f"local clone that holds {name}")
    parser.add_argument("--queries", type=int, default=0, help="only so many queries of each benchmark; 0 takes all")
    parser.add_argument("--bm25", action="store_true", help="measure BM25 too")
    parser.add_argument("--minilm", action="store_true", help="measure MiniLM with one vector a text too")
    return parser


if __name__ == "__main__":
    main()
