"""What LangChain and LlamaIndex add to a search: milliseconds of each plug beyond MetaEmbedIndex.search.

Example:
    python benchmarks/plugs.py --out results

Each call goes through the framework's own entry point. Its overhead is the time of the whole call less the time of the
index's search inside it, measured in the same call, so the noise of encoding and searching cancels out. For the
asynchronous ones what is inside is the index's ``asearch``. Load on the machine still shows in the tail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.retrievers.metaembed import MetaEmbedRetriever as LlamaIndexRetriever

from langchain_metaembed import MetaEmbedRetriever as LangChainRetriever
from langchain_metaembed import MetaEmbedVectorStore
from metaembed_rag import MetaEmbed, MetaEmbedIndex

EXAMPLES = Path(__file__).parent.parent / "examples"
WARM_UP = 5
TOP_K = 5


class TimedIndex(MetaEmbedIndex):
    """Keeps how long its last search took."""

    inside = 0.0

    def search(self, *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return super().search(*arguments, **options)
        finally:
            self.inside = time.perf_counter() - started

    async def asearch(self, *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return await super().asearch(*arguments, **options)
        finally:
            self.inside = time.perf_counter() - started


Call = Callable[[str], Any]


def make_calls(index: TimedIndex, budget: int) -> dict[str, Call]:
    """The entry points, by name; those that give an awaitable are awaited."""
    store = MetaEmbedVectorStore(index, budget=budget)
    of_store = store.as_retriever(k=TOP_K)
    lang = LangChainRetriever(index=index, budget=budget, k=TOP_K)
    llama = LlamaIndexRetriever(index=index, budget=budget, similarity_top_k=TOP_K)
    return {
        "MetaEmbedIndex.search": lambda query: index.search(query, budget=budget, top_k=TOP_K),
        "LangChain MetaEmbedVectorStore.similarity_search": lambda query: store.similarity_search(query, k=TOP_K),
        "LangChain MetaEmbedRetriever.invoke": lang.invoke,
        "LangChain as_retriever().invoke": of_store.invoke,
        "LlamaIndex MetaEmbedRetriever.retrieve": llama.retrieve,
        "MetaEmbedIndex.asearch": lambda query: index.asearch(query, budget=budget, top_k=TOP_K),
        "LangChain MetaEmbedRetriever.ainvoke": lang.ainvoke,
        "LlamaIndex MetaEmbedRetriever.aretrieve": llama.aretrieve,
    }


async def measure(index: TimedIndex, calls: dict[str, Call], queries: Sequence[str], rounds: int) -> dict[str, Any]:
    """Milliseconds of every call, taking turns query by query."""
    whole: dict[str, list[float]] = {name: [] for name in calls}
    extra: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARM_UP + rounds * len(queries)):
        query = queries[turn % len(queries)]
        for name, call in calls.items():
            started = time.perf_counter()
            answer = call(query)
            if isinstance(answer, Awaitable):
                answer = await answer
            seconds = time.perf_counter() - started
            assert answer, f"{name} found nothing for {query!r}"
            if turn >= WARM_UP:
                whole[name].append(1000 * seconds)
                extra[name].append(1000 * (seconds - index.inside))
    return {
        name: {
            "calls": len(whole[name]),
            "p50_ms": round(float(np.percentile(whole[name], 50)), 3),
            "overhead_p50_ms": round(float(np.percentile(extra[name], 50)), 3),
            "overhead_p95_ms": round(float(np.percentile(extra[name], 95)), 3),
        }
        for name in calls
    }


def make_table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        "# What the plugs add to a search",
        "",
        f"Budget {report['budget']}, {TOP_K} pages a search out of {report['pages']}; load {report['load']} on",
        f"{report['processors']} processors before the run. Overhead is the call less the search inside it.",
        "",
        "| call | p50 ms | overhead p50 ms | overhead p95 ms |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['p50_ms']:.2f} | {row['overhead_p50_ms']:.3f} | {row['overhead_p95_ms']:.3f} |"
        for name, row in report["calls"].items()
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what the plugs add to a search.")
    parser.add_argument("--documents", type=Path, default=EXAMPLES / "reports", help="indexed by their text layer")
    parser.add_argument("--rounds", type=int, default=10, help="times that every question is asked")
    parser.add_argument("--budget", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="folder for plugs.json and plugs.md")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    queries = [entry["question"] for entry in json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))]
    report: dict[str, Any] = {
        "budget": options.budget,
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    with TimedIndex(":memory:", model=MetaEmbed.from_pretrained("mini")) as index:
        index.add(options.documents, ocr="never", progress=False)
        report["pages"] = len(index)
        report["calls"] = asyncio.run(measure(index, make_calls(index, options.budget), queries, options.rounds))
    (options.out / "plugs.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "plugs.md").write_text(make_table(report), encoding="utf-8")


if __name__ == "__main__":
    main()
