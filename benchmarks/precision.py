"""What each storage precision takes and keeps: bytes of vectors on disk, and agreement with float32.

Example:
    python benchmarks/precision.py --index manuals.index --pages 400 --queries 40 --out results

Pages of an index at hand are stored anew at each precision, from the same embeddings; overlap@10 is the share of the
first ten by float32 vectors that are among the first ten of the same exact scan.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaembed_rag import Budget, MetaEmbed, MetaEmbedIndex
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.search.questions import make_queries
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.schema import PRECISIONS

BUDGETS = (Budget(1, 1), Budget(4, 8), Budget(16, 64))
TOP_K = 10


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with MetaEmbedIndex(options.index, create=False) as index:
        texts = index._store.sample_texts(options.pages, seed=3)
        rows = {page: vectors[0] for page, vectors in index.vectors(list(texts)).items()}
        model = index.model
    queries = model.encode_queries(make_queries(list(texts.values())[: options.queries], seed=3))
    found: dict[str, dict[str, Any]] = {}
    truth: dict[str, list[list[str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            found[precision] = _store(Path(folder) / precision, precision, model, texts, rows, queries, truth)
    report = {"pages": len(rows), "queries": len(queries), "precisions": found}
    (options.out / "precision.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "precision.md").write_text(_table(report), encoding="utf-8")


def _store(
    folder: Path,
    precision: str,
    model: MetaEmbed,
    texts: dict[str, str],
    rows: dict[str, Any],
    queries: Any,
    truth: dict[str, list[list[str]]],
) -> dict[str, Any]:
    with MetaEmbedIndex(folder, model=model, precision=precision) as index:
        ids = list(rows)
        index.add_texts([texts[page] for page in ids], ids=ids, embeddings=[rows[page] for page in ids])
        line: dict[str, Any] = {"segment_bytes": _size(folder / "segments")}
        for budget in BUDGETS:
            plans = {str(budget): Plan(budget)}
            if precision == "4bit":
                plans[f"{budget} by codes"] = Plan(budget, oversampling=2.0)
            for name, plan in plans.items():
                ranked = [
                    [one.payload["id"] for one in index._store.search(build_stages(plan, query), Filter(), TOP_K)]
                    for query in queries
                ]
                wanted = truth.setdefault(str(budget), ranked)
                shares = [len(set(one) & set(other)) / TOP_K for one, other in zip(ranked, wanted, strict=True)]
                line[name] = round(statistics.fmean(shares), 3)
    return line


def _size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def _table(report: dict[str, Any]) -> str:
    names = [str(budget) for budget in BUDGETS]
    lines = [
        "# Storage precision",
        "",
        f"{report['pages']} pages, {report['queries']} queries, overlap@{TOP_K} with float32.",
        "",
        "| precision | segments MB | " + " | ".join(names) + " | by 4 bit codes, rescored |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for precision, line in report["precisions"].items():
        codes = ", ".join(f"{name[:-9]} {line[name]}" for name in line if name.endswith("by codes")) or "-"
        shares = " | ".join(str(line[name]) for name in names)
        lines.append(f"| {precision} | {line['segment_bytes'] / 1e6:.1f} | {shares} | {codes} |")
    return "\n".join([*lines, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="folder of an index")
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser


if __name__ == "__main__":
    main()
