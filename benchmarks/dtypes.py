"""What bfloat16 is worth on this processor: pages embedded a second, milliseconds a query, agreement with float32.

Example:
    python benchmarks/dtypes.py --index manuals.index --pages 200 --queries 100 --out results

Pages of an index at hand are embedded anew, in float32 and in bfloat16 by turns, so that a load that comes and goes
falls on both; the ratio is the median over the turns. overlap@10 is the share of the first ten pages by float32 that
are among the first ten by pages and queries in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from metaembed_rag import LADDER, MetaEmbed, MetaEmbedIndex
from metaembed_rag.embedding.dtypes import computes_bfloat16
from metaembed_rag.metrics import recall
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.search.questions import make_queries

DTYPES = ("float32", "bfloat16")
TOP_K = 10
WARM_UP = 5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _parser()
    options = parser.parse_args(arguments)
    if not computes_bfloat16():
        parser.error("this processor emulates bfloat16: there is nothing to gain")
    options.out.mkdir(parents=True, exist_ok=True)
    with MetaEmbedIndex(options.index, create=False) as index:
        texts = index._store.sample_texts(options.pages, seed=3)
    queries = make_queries(list(texts.values())[: options.queries], seed=3)
    models = {dtype: MetaEmbed.from_pretrained(options.model, dtype=dtype) for dtype in DTYPES}
    rates: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    found: dict[str, dict[str, list[list[str]]]] = {}
    for turn, (dtype, model) in product(range(options.turns), models.items()):
        with MetaEmbedIndex(":memory:", model=model) as index:
            index.add_texts(["warm up"])
            started = time.perf_counter()
            index.add_texts(list(texts.values()), ids=list(texts))
            rates[dtype].append(len(texts) / (time.perf_counter() - started))
            windows = index.info()["points"] - 1
            if turn == 0:
                found[dtype] = _ranked(index, queries)
    report = {
        "machine": describe_machine(),
        "pages": len(texts),
        "windows": windows,
        "queries": len(queries),
        "pages_per_second": {dtype: round(statistics.median(rates[dtype]), 2) for dtype in DTYPES},
        "pages_ratio": _ratio(rates["bfloat16"], rates["float32"]),
        "budgets": {name: _budget(name, models, queries, found) for name in found["float32"]},
    }
    (options.out / "dtypes.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "dtypes.md").write_text(_table(report), encoding="utf-8")


def _ranked(index: MetaEmbedIndex, queries: Sequence[str]) -> dict[str, list[list[str]]]:
    """Ids of the first pages of each query, by budget."""
    return {
        str(budget): [[hit.id for hit in index.search(query, budget=budget, top_k=TOP_K)] for query in queries]
        for budget in LADDER
    }


def _budget(
    name: str, models: dict[str, MetaEmbed], queries: Sequence[str], found: dict[str, dict[str, list[list[str]]]]
) -> dict[str, Any]:
    times: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    for number, query in enumerate([*queries[:WARM_UP], *queries]):
        for dtype, model in models.items():
            started = time.perf_counter()
            model.encode_queries([query], budget=name)
            if number >= WARM_UP:
                times[dtype].append((time.perf_counter() - started) * 1000)
    pairs = zip(found["float32"][name], found["bfloat16"][name], strict=True)
    return {
        "query_p50_ms": {dtype: round(statistics.median(times[dtype]), 2) for dtype in DTYPES},
        "query_ratio": _ratio(times["bfloat16"], times["float32"]),
        "overlap@10": round(statistics.fmean(recall(other, dict.fromkeys(one, 1.0), TOP_K) for one, other in pairs), 3),
    }


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(one, other, strict=True)), 2)


def _table(report: dict[str, Any]) -> str:
    rates = report["pages_per_second"]
    lines = [
        "# bfloat16 beside float32",
        "",
        f"{report['machine']}. {report['pages']} pages, {report['windows']} windows: {rates['float32']} pages a second",
        f"in float32, {rates['bfloat16']} in bfloat16, {report['pages_ratio']} times as many, embedding and writing.",
        "",
        "| budget | query, float32 ms | bfloat16 ms | ratio | overlap@10 |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["budgets"].items():
        times = row["query_p50_ms"]
        lines.append(
            f"| {name} | {times['float32']} | {times['bfloat16']} | {row['query_ratio']} | {row['overlap@10']} |"
        )
    return "\n".join([*lines, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="folder of an index")
    parser.add_argument("--model", default="mini", help="packaged model, model folder or hub id")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3, help="times that the pages are embedded in each")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser


if __name__ == "__main__":
    main()
