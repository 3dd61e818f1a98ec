"""Many requests at once on one embedded index: latency percentiles, and how long the event loop is kept waiting.

Example:
    python benchmarks/concurrency.py --index manuals.index --clients 50 --requests 10 --out results

Each of the clients asks its next query when its last one is answered. A ticker beside them notes how late the event
loop wakes it: that is how long other coroutines of a web server would wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.search.questions import make_queries

TICK = 0.005


async def _serve(index: MetaEmbedIndex, queries: Sequence[str], clients: int, requests: int) -> dict[str, Any]:
    waits: list[float] = []
    lags: list[float] = []

    async def client(number: int) -> None:
        for request in range(requests):
            begun = time.perf_counter()
            await index.asearch(queries[(number * requests + request) % len(queries)], budget=4)
            waits.append(time.perf_counter() - begun)

    async def tick() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            lags.append(time.perf_counter() - begun - TICK)

    ticker = asyncio.create_task(tick())
    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    seconds = time.perf_counter() - begun
    ticker.cancel()
    p50, p99 = np.percentile(np.asarray(waits) * 1000, [50, 99])
    lag50, lag99, worst = np.percentile(np.asarray(lags) * 1000, [50, 99, 100])
    return {
        "clients": clients,
        "requests": len(waits),
        "requests_per_second": round(len(waits) / seconds, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "p99_over_p50": round(float(p99 / p50), 2),
        "loop_lag_p50_ms": round(float(lag50), 1),
        "loop_lag_p99_ms": round(float(lag99), 1),
        "loop_lag_worst_ms": round(float(worst), 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with MetaEmbedIndex(options.index, create=False) as index:
        queries = make_queries(index._store.sample_texts(200, seed=2).values(), seed=2)
        index.search_many(queries[:5], budget=4)
        runs = [asyncio.run(_serve(index, queries, clients, options.requests)) for clients in (1, options.clients)]
        pages = len(index)
    report = {"machine": describe_machine(), "pages": pages, "runs": runs}
    (options.out / "concurrency.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    keys = list(runs[0])
    lines = [
        "# Concurrent requests",
        "",
        f"{pages} pages, budget 4, {report['machine']}. Written by `benchmarks/concurrency.py`.",
        "",
        "| " + " | ".join(key.replace("_", " ") for key in keys) + " |",
        "|" + "---|" * len(keys),
        *("| " + " | ".join(str(run[key]) for key in keys) + " |" for run in runs),
        "",
    ]
    (options.out / "concurrency.md").write_text("\n".join(lines), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="folder of an index")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10, help="requests a client")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser


if __name__ == "__main__":
    main()
