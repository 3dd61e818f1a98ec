"""Latency targets on a real index: calibrate, then keep each target for many queries, alone and beside another process.

Example:
    python benchmarks/latency.py --index manuals.index --queries 500 --out results

For each target it notes the observed p50 and p95, the share of late queries, which plans answered, and the agreement
with the full budget. A target is kept if the observed p95 stays within 1.1 times the target.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.search.calibration import Calibration
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.search.questions import make_queries

logger = logging.getLogger("latency")

#: An observed p95 may exceed the target by this factor.
KEPT = 1.1

#: Tell numpy's libraries how many threads to use.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    with MetaEmbedIndex(options.index, create=False) as index:
        calibration = index.calibrate(progress=False)
        calibration.plot(options.out / "calibration.png")
        queries = make_queries(index._store.sample_texts(options.queries, seed=1).values(), seed=1)
        targets = options.targets or _targets(calibration)
        runs = []
        for loaded in (False, True):
            for target in targets:
                with _load(loaded):
                    runs.append(_keep(index, queries, options.queries, target, loaded))
                logger.info("%s", runs[-1])
        info = index.info()
    report = {
        "machine": describe_machine(),
        "pages": info["pages"],
        "points": info["points"],
        "front": calibration.table(),
        "runs": runs,
    }
    (options.out / "latency.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (options.out / "latency.md").write_text(_tables(report), encoding="utf-8")


def _keep(index: MetaEmbedIndex, queries: Sequence[str], count: int, target: float, loaded: bool) -> dict[str, Any]:
    answers = [index.search(queries[n % len(queries)], latency_ms=target, top_k=10) for n in range(count)]
    times = np.asarray([hits.seconds * 1000 for hits in answers])
    p50, p95 = np.percentile(times, [50, 95])
    sample = range(0, count, max(1, count // 50))
    agreement = []
    for n in sample:
        full = {hit.id for hit in index.search(queries[n % len(queries)], top_k=10)}
        agreement.append(len(full & {hit.id for hit in answers[n]}) / len(full))
    budgets = Counter(str(hits.budget) for hits in answers)
    return {
        "target_ms": target,
        "loaded": loaded,
        "queries": count,
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "p95_over_target": round(float(p95) / target, 3),
        "kept": bool(p95 <= KEPT * target),
        "late": round(float(np.mean(times > target)), 3),
        "said_unreachable": sum(not hits.reachable for hits in answers),
        "budgets": dict(budgets.most_common()),
        "plan_changes": sum(one.plan != other.plan for one, other in pairwise(answers)),
        "overlap@10": round(statistics.fmean(agreement), 3),
    }


def _targets(calibration: Calibration) -> list[float]:
    """Just above the p95 of the cheapest, the middle and the best plan of the front."""
    front = calibration.front
    chosen = (front[0], front[len(front) // 2], front[-1])
    return sorted({float(round(1.3 * one.total.p95)) for one in chosen})


@contextmanager
def _load(wanted: bool) -> Iterator[None]:
    """A second process that keeps a core busy and goes through memory."""
    if not wanted:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=_burn, daemon=True)
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # one core, not all of them
    process.start()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    try:
        yield
    finally:
        process.kill()
        process.join()


def _burn() -> None:
    matrix = np.random.default_rng(0).random((1500, 1500), dtype=np.float32)
    parent = os.getppid()
    while os.getppid() == parent:  # a killed benchmark must not leave a busy core behind
        matrix @ matrix


def _tables(report: dict[str, Any]) -> str:
    lines = [
        "# Latency targets",
        "",
        f"{report['pages']} pages, {report['points']} windows, {report['machine']}; by `benchmarks/latency.py`.",
        "",
        "| plan | encode p50 ms | search p50 ms | total p50 ms | total p95 ms | overlap@10 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['plan']} | {row['encode_p50_ms']} | {row['search_p50_ms']} | {row['total_p50_ms']} "
        f"| {row['total_p95_ms']} | {row['overlap']} |"
        for row in report["front"]
    ]
    lines += [
        "",
        "| target ms | other process | p50 ms | p95 ms | p95 / target | late | budgets | plan changes | overlap@10 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in report["runs"]:
        budgets = ", ".join(f"{name} {share}" for name, share in run["budgets"].items())
        unmet = f", said out of reach {run['said_unreachable']} times" if run["said_unreachable"] else ""
        lines.append(
            f"| {run['target_ms']:g} | {'yes' if run['loaded'] else 'no'} | {run['p50_ms']} | {run['p95_ms']} "
            f"| {run['p95_over_target']} | {run['late']} | {budgets}{unmet} | {run['plan_changes']} "
            f"| {run['overlap@10']} |"
        )
    return "\n".join([*lines, ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, help="folder of an index")
    parser.add_argument("--queries", type=int, default=500, help="queries a target")
    parser.add_argument("--targets", type=float, nargs="*", help="milliseconds; chosen from the front otherwise")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser


if __name__ == "__main__":
    main()
