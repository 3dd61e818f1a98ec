"""Training pairs: exactly one negative each, never the positive in disguise, nothing silent."""

from __future__ import annotations

import json
import logging

import pytest

from metaembed_rag.errors import InputError
from metaembed_rag.training.data import read_sources, read_triplets


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return path

    return write


ROWS = [{"query": f"q{n}", "positive": f"p{n}", "negative": f"n{n}"} for n in range(8)]


def test_a_cap_draws_the_same_pairs_from_the_same_seed(write):
    path = write(*ROWS)
    first, again, other = (read_triplets(path, cap=5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) == 5
    assert all(row in ROWS for row in first)


@pytest.mark.parametrize("negative", [None, "", "p0"], ids=["none", "empty", "the positive"])
def test_a_missing_negative_is_replaced_or_dropped_and_told(write, caplog, negative):
    path = write({"query": "q0", "positive": "p0", "negative": negative}, *ROWS[1:])
    with caplog.at_level(logging.WARNING):
        rows = read_triplets(path, cap=99, seed=0, missing_negative="random")
        dropped = read_triplets(path, cap=99, seed=0, missing_negative="drop")
    (replaced,) = [row for row in rows if row["query"] == "q0"]
    assert replaced["negative"] in {f"p{n}" for n in range(1, 8)}
    assert len(rows) == 8
    assert {row["query"] for row in dropped} == {f"q{n}" for n in range(1, 8)}
    assert caplog.text.count("1 of 8 pairs lack a hard negative") == 2


@pytest.mark.parametrize(
    "line", ["{", '["a"]', '{"query": "x"}', '{"query": null, "positive": "x"}', '{"query": " ", "positive": "x"}']
)
def test_a_malformed_line_is_named(write, line):
    with pytest.raises(InputError, match="line 2"):
        read_triplets(write(ROWS[0], line), cap=9, seed=0)


def test_a_missing_file_and_a_single_positive_are_told(write, tmp_path):
    with pytest.raises(InputError, match="prepare_data"):
        read_sources(tmp_path, {"absent": 3}, seed=0, missing_negative="drop")
    with pytest.raises(InputError, match="two different positives"):
        read_triplets(write({"query": "q", "positive": "p"}), cap=9, seed=0)
