"""Score a model at every budget on the development benchmarks, beside its rivals; write ladder.json and ladder.md.

Example:
    python benchmarks/mini/ladder.py --model mini --out results --rivals \
        --pubmedqa pubmedqa --tatqa TAT-QA --wikitq WikiTableQuestions --qed QED --fairytaleqa FairytaleQAData \
        --financebench financebench
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from options import add_financebench, asked_of, make_parser, no_benchmark, parts_of

from metaembed_rag import MetaEmbed
from metaembed_rag.evaluation.baselines import Late, all_tokens, bm25, single_vector, trained_tokens
from metaembed_rag.evaluation.benchmarks import Benchmark
from metaembed_rag.evaluation.ladder import Row, evaluate, monotone
from metaembed_rag.evaluation.measured import Measured, pool_measured
from metaembed_rag.search.machine import describe_machine

logger = logging.getLogger("ladder")

Rival: TypeAlias = Callable[[Benchmark], "Measured | Late"]

#: Marks late interaction over all windows of a document; without it a document counts as its best window.
WHOLE = "whole document"

COLUMNS = {"ndcg5": "nDCG@5", "p1": "P@1", "r5": "R@5", "mrr": "MRR"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate and write both files; they are rewritten after each benchmark."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tasks = parts_of(options)
    if not tasks:
        no_benchmark(parser)
    if options.token_level is not None and not options.rivals:
        parser.error("--token-level is one of the rivals: pass --rivals too")
    model = MetaEmbed.from_pretrained(options.model, dtype=options.dtype)
    rivals = _rivals(model, options.token_level) if options.rivals else {}
    report: dict[str, Any] = {
        "model": model.config.name,
        "fingerprint": model.fingerprint,
        "machine": describe_machine(),
        "benchmarks": {},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, read in tasks.items():
        benchmarks = [asked_of(options, part) for part in read()]
        report["benchmarks"][name] = _measure(model, name, benchmarks, rivals)
        (options.out / "ladder.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        (options.out / "ladder.md").write_text(_markdown(report), encoding="utf-8")


def _rivals(model: MetaEmbed, token_level: Path | None) -> dict[str, Rival]:
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from metaembed_rag.embedding.backbone import MINILM, resolve_backbone

    minilm = SentenceTransformer(resolve_backbone(MINILM))
    rivals: dict[str, Rival] = {
        "BM25": bm25,
        "MiniLM, one vector": lambda benchmark: single_vector(benchmark, minilm, model.windows),
        "MiniLM, all tokens": lambda benchmark: all_tokens(benchmark, minilm, model.windows),
    }
    if token_level is not None:
        trained = MultiVectorEncoder(str(token_level), local_files_only=True)
        rivals["MiniLM, all tokens, trained"] = lambda benchmark: trained_tokens(benchmark, trained, model.windows)
    return rivals


def _measure(model: MetaEmbed, name: str, parts: Sequence[Benchmark], rivals: dict[str, Rival]) -> dict[str, Any]:
    """Every part of a benchmark by every rival and at every budget, joined."""
    measured: dict[str, list[tuple[Measured, int]]] = defaultdict(list)
    ladder: dict[Any, list[tuple[Measured, int]]] = defaultdict(list)
    for part in parts:
        for rival, run in rivals.items():
            for label, figures in _ways(rival, run(part)):
                measured[label].append((figures, len(part.documents)))
        for row in evaluate(model, part, timed=True):
            if row.cost is not None:
                ladder[row.budget].append((row.cost, len(part.documents)))
        logger.info("%s done", part.name)
    costs = {budget: pool_measured(found) for budget, found in ladder.items()}
    verdict = monotone([Row(budget, cost.figures) for budget, cost in costs.items()])
    result = {
        "parts": len(parts),
        "queries": sum(len(part.queries) for part in parts),
        "documents": sum(len(part.documents) for part in parts),
        "rivals": {rival: pool_measured(found).to_json() for rival, found in measured.items()},
        "ladder": [Row(budget, cost.figures, cost).to_json() for budget, cost in costs.items()],
        "monotone": verdict.holds,
        "verdict": str(verdict),
    }
    for label, figures in _lines(result):
        logger.info("%s %s nDCG@5 %.4f P@1 %.4f R@5 %.4f", name, label, figures["ndcg5"], figures["p1"], figures["r5"])
    logger.info("%s: %s", name, verdict)
    return result


def _ways(rival: str, found: Measured | Late) -> list[tuple[str, Measured]]:
    """Late interaction is measured in two ways; others have one."""
    if isinstance(found, Measured):
        return [(rival, found)]
    return [(rival, found.best), (f"{rival}, {WHOLE}", found.whole)]


def _lines(result: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    yield from result["rivals"].items()
    for figures in result["ladder"]:
        yield "({},{})".format(*figures["budget"]), figures


def _markdown(report: dict[str, Any]) -> str:
    lines = [
        f"# {report['model']} ({report['fingerprint']})",
        "",
        "Exact ranking of all documents (FinanceBench: of the pages of the filing). mini ranks a document by all of",
        f"its windows together; rivals by its best one, and those with a vector a token also as mini does ({WHOLE}).",
        "Bytes are float32 vectors or BM25 postings, a document or page. Milliseconds are the median of one query by",
        f"itself, encoding and an exact scan; {report['machine']}.",
        "",
    ]
    for name, result in report["benchmarks"].items():
        parts = f" in {result['parts']} filings" if result["parts"] > 1 else ""
        lines += [
            f"## {name}: {result['queries']:,} queries, {result['documents']:,} documents{parts}",
            "",
            "| | " + " | ".join(COLUMNS.values()) + " | bytes | ms |",
            "|---|" + "---|" * (len(COLUMNS) + 2),
        ]
        lines += [
            f"| {label} | "
            + " | ".join(f"{figures[column]:.3f}" for column in COLUMNS)
            + f" | {figures['page_bytes']:,} | {figures['query_ms']:.1f} |"
            for label, figures in _lines(result)
        ]
        lines += ["", result["verdict"] + ".", ""]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, "folder for ladder.json and ladder.md")
    add_financebench(parser)
    parser.add_argument("--dtype", help="in which the model computes, such as bfloat16; its own otherwise")
    parser.add_argument("--rivals", action="store_true", help="measure BM25 and MiniLM, one vector and all tokens, too")
    parser.add_argument("--token-level", type=Path, help="encoder of token_level.py, one more rival")
    return parser


if __name__ == "__main__":
    main()
