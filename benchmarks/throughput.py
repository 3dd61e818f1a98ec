"""Pages a second by route, query latency split into encoding and search, recall of the default plan, bytes a page.

Example:
    python benchmarks/throughput.py --documents /usr/share/doc --pages 10000 --out results

Everything is measured in one run on one machine; compare ratios, not seconds. The index is kept in ``--out``, so that
a second run fills in what is missing and measures again.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from metaembed_rag import LADDER, MetaEmbed, MetaEmbedIndex
from metaembed_rag.errors import DocumentError
from metaembed_rag.pages import OcrMode, Page, find_documents, read_document
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter

logger = logging.getLogger("throughput")

WARM_UP = 5
PAGES_PER_DOCUMENT = 10
TOP_K = 10


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    model = MetaEmbed.from_pretrained(options.model)
    report: dict[str, Any] = {"model": model.config.name, "fingerprint": model.fingerprint}
    report["routes"] = {
        route: _rate(model, options.documents, count, ocr)
        for route, count, ocr in (("layer", options.rate_pages, "never"), ("ocr", options.ocr_pages, "always"))
        if count
    }
    with MetaEmbedIndex(options.out / "throughput.index", model=model) as index:
        _fill(index, options.documents, options.pages)
        report["queries"] = _queries(index, _make_queries(index, options.queries))
        info = index.info()
        report["index"] = {**info, "path": None, "bytes_per_page": round(info["bytes"] / info["pages"])}
    (options.out / "throughput.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "throughput.md").write_text(_table(report), encoding="utf-8")


def _rate(model: MetaEmbed, folder: Path, count: int, ocr: OcrMode) -> dict[str, float]:
    """Pages a second into a fresh index; of each document at most ten pages, so that none dominates."""
    pages: list[Page] = []
    started = time.perf_counter()
    for path in _shuffled(folder):
        try:
            pages += islice(read_document(path, ocr=ocr), PAGES_PER_DOCUMENT)
        except DocumentError as error:
            logger.warning("skipped %s", error)
        if len(pages) >= count:
            break
    reading = time.perf_counter() - started
    with MetaEmbedIndex(":memory:", model=model) as index:
        index.add_texts(["warm up"])
        started = time.perf_counter()
        added = index.add(pages, progress=False).added
        writing = time.perf_counter() - started
        windows = index.info()["points"] - 1
    return {
        "pages": added,
        "windows": windows,
        "read_pages_per_second": round(added / reading, 2),
        "pages_per_second": round(added / (reading + writing), 2),
    }


def _fill(index: MetaEmbedIndex, folder: Path, limit: int) -> None:
    """Whole documents until ``limit`` pages are in the index; those that are there already cost no embedding."""
    found = 0
    for path in _shuffled(folder):
        try:
            pages = list(read_document(path, ocr="never"))[: limit - found]
        except DocumentError as error:
            logger.warning("skipped %s", error)
            continue
        index.add(pages, progress=False)
        found += len(pages)
        logger.info("%d of %d pages", found, limit)
        if found >= limit:
            return


def _shuffled(folder: Path) -> list[str]:
    files = [path for path in find_documents(folder) if path.endswith(".pdf")]
    random.Random(0).shuffle(files)
    return files


def _make_queries(index: MetaEmbedIndex, count: int) -> list[str]:
    """Eight words in a row from the middle of random pages: what somebody half remembers."""
    generator = random.Random(2)
    payloads = (payload for _, payload in index._store._engine.scroll(Filter(), ["text"]))
    texts = [text for payload in payloads if len((text := payload.get("text", "")).split()) > 60]
    queries = []
    for text in generator.sample(sorted(set(texts)), min(count, len(set(texts)))):
        words = text.split()
        start = generator.randrange(len(words) - 8)
        queries.append(" ".join(words[start : start + 8]))
    return queries


def _queries(index: MetaEmbedIndex, queries: list[str]) -> dict[str, Any]:
    results: dict[str, Any] = {"count": len(queries)}
    model, store = index.model, index._store
    for query in queries[:WARM_UP]:
        index.search(query, top_k=TOP_K)
    full = model.encode_queries(queries)
    for budget in LADDER:
        plan = index.plan(budget, TOP_K)
        encoding, searching, scanning, recalls = [], [], [], []
        for position, query in enumerate(queries):
            started = time.perf_counter()
            rows = model.encode_queries([query], budget=budget)[0]
            encoded = time.perf_counter()
            found = store.search(build_stages(plan, rows), Filter(), TOP_K)
            searched = time.perf_counter()
            exact = store.search(build_stages(Plan(budget, whole=plan.whole), full[position]), Filter(), TOP_K)
            scanned = time.perf_counter()
            encoding.append(encoded - started)
            searching.append(searched - encoded)
            scanning.append(scanned - searched)
            wanted = {scored.payload["id"] for scored in exact}
            recalls.append(len(wanted & {scored.payload["id"] for scored in found}) / len(wanted))
        results[str(budget)] = {
            "plan": plan.describe(),
            "encode_ms": _milliseconds(encoding),
            "search_ms": _milliseconds(searching),
            "exact_scan_ms": _milliseconds(scanning),
            "recall_at_10": float(np.mean(recalls)),
        }
        logger.info("%s %s", budget, results[str(budget)])
    return results


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    return {f"p{q}": round(1000 * float(np.percentile(seconds, q)), 2) for q in (50, 95)}


def _table(report: dict[str, Any]) -> str:
    index = report["index"]
    lines = [f"# {index['pages']:,} pages, {index['points']:,} windows, model {report['model']}", ""]
    names = {"layer": "text layer", "ocr": "OCR"}
    lines += [
        f"- {names[route]}: {rate['pages_per_second']:.2f} pages a second, embedding included; reading alone "
        f"{rate['read_pages_per_second']:.2f} ({rate['pages']} pages, {rate['windows']} windows)"
        for route, rate in report["routes"].items()
    ]
    lines += [
        f"- disk: {index['bytes_per_page']:,} bytes a page",
        "",
        "| budget | plan | encode p50 / p95 ms | search p50 / p95 ms | exact scan p50 ms | recall@10 |",
        "|---|---|---|---|---|---|",
    ]
    for budget, row in report["queries"].items():
        if budget == "count":
            continue
        lines.append(
            f"| {budget} | {row['plan']} | {row['encode_ms']['p50']} / {row['encode_ms']['p95']} "
            f"| {row['search_ms']['p50']} / {row['search_ms']['p95']} | {row['exact_scan_ms']['p50']} "
            f"| {row['recall_at_10']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, required=True, help="folder with PDFs, searched recursively")
    parser.add_argument("--pages", type=int, default=10_000, help="pages to index")
    parser.add_argument("--rate-pages", type=int, default=200, help="pages to time by their text layer; 0 for none")
    parser.add_argument("--ocr-pages", type=int, default=12, help="pages to time by OCR; 0 for none")
    parser.add_argument("--queries", type=int, default=200, help="queries to measure")
    parser.add_argument("--model", default="mini", help="packaged model, model folder or hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for the index and the results")
    return parser


if __name__ == "__main__":
    main()
