"""Training pairs from JSONL files: query, positive, and exactly one hard negative each."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from metaembed_rag.errors import InputError

logger = logging.getLogger(__name__)

Triplet = dict[str, str]


def read_triplets(
    path: Path, *, cap: int, seed: int, missing_negative: Literal["drop", "random"] = "random"
) -> list[Triplet]:
    """Read one source.

    Args:
        path: JSONL; each line has "query", "positive" and optionally "negative".
        cap: at most this many, drawn at random.
        seed: of the draw and of random negatives.
        missing_negative: what happens to a pair without one; both are logged, none is silent.

    Raises:
        InputError: the file is missing or a line is malformed.
    """
    if not path.is_file():
        raise InputError(f"training data {path} is missing; benchmarks/mini/prepare_data.py writes it")
    rows: list[Triplet] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                rows.append(_triplet(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path}, line {number}: {error!r}") from error
    generator = random.Random(seed)  # noqa: S311 - a draw of samples, nothing secret
    generator.shuffle(rows)
    rows = rows[:cap]
    without = [row for row in rows if not row["negative"] or row["negative"] == row["positive"]]
    if without:
        logger.warning(
            "%s: %d of %d pairs lack a hard negative: %s",
            path.name,
            len(without),
            len(rows),
            missing_negative,
        )
        if missing_negative == "drop":
            rows = [row for row in rows if row["negative"] and row["negative"] != row["positive"]]
        else:
            _fill_random(without, rows, generator)
    return rows


def read_sources(
    folder: Path, sources: Mapping[str, int], *, seed: int, missing_negative: Literal["drop", "random"]
) -> dict[str, list[Triplet]]:
    """``read_triplets`` for every source of a recipe, keyed by name."""
    return {
        name: read_triplets(folder / f"{name}.jsonl", cap=cap, seed=seed, missing_negative=missing_negative)
        for name, cap in sources.items()
    }


def _triplet(row: Any) -> Triplet:
    found = {"query": row["query"], "positive": row["positive"], "negative": row.get("negative") or ""}
    wrong = [name for name, text in found.items() if not isinstance(text, str)]
    if wrong or not found["query"].strip() or not found["positive"].strip():
        raise ValueError("query, positive and negative must be texts, the first two not empty")
    return found


def _fill_random(without: list[Triplet], rows: list[Triplet], generator: random.Random) -> None:
    positives = sorted({row["positive"] for row in rows})
    if len(positives) < 2:
        raise InputError("random negatives need at least two different positives")
    for row in without:
        while (candidate := generator.choice(positives)) == row["positive"]:
            pass
        row["negative"] = candidate
