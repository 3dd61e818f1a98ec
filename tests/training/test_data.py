"""Training pairs: exactly one negative each, never the positive in disguise, nothing silent."""

from __future__ import annotations

import json
import logging

import pytest
from PIL import Image

from metaembed_rag.errors import InputError
from metaembed_rag.training import samples
from metaembed_rag.training.data import Source, has_images, read_sources, read_triplets
from metaembed_rag.training.samples import SampleReader


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
    "line",
    [
        "{",
        '["a"]',
        '{"query": "x"}',
        '{"query": null, "positive": "x"}',
        '{"query": " ", "positive": "x"}',
        '{"query": "x", "positive": "y", "document": 3, "pages": [1]}',
        '{"query": "x", "positive": "y", "document": "d"}',
        '{"query": "x", "positive": "y", "pages": [1]}',
        '{"query": "x", "positive": "y", "document": "d", "pages": [true]}',
    ],
)
def test_a_malformed_line_is_named(write, line):
    with pytest.raises(InputError, match="line 2"):
        read_triplets(write(ROWS[0], line), cap=9, seed=0)


def test_a_missing_file_and_a_single_positive_are_told(write, tmp_path):
    with pytest.raises(InputError, match="prepare_data"):
        read_sources(tmp_path, {"absent": 3}, seed=0, missing_negative="drop")
    with pytest.raises(InputError, match="two different positives"):
        read_triplets(write({"query": "q", "positive": "p"}), cap=9, seed=0)


def test_a_negative_that_only_looks_different_is_missing(write, caplog):
    path = write({"query": "q", "positive": "The  Page", "negative": "the page "}, *ROWS)
    assert [row["query"] for row in read_triplets(path, cap=99, seed=0, missing_negative="drop")].count("q") == 0
    assert "1 of 9" in caplog.text


def test_a_source_without_any_hard_negative_says_how_to_mine(write):
    with pytest.raises(InputError, match="metaembed mine"):
        read_triplets(write({"query": "q", "positive": "p"}), cap=9, seed=0, missing_negative="drop")


def test_images_are_found_beside_the_data(pictures):
    rows = read_triplets(pictures / "pictures.jsonl", cap=99, seed=0)
    assert len(rows) == 12
    assert has_images(rows)
    for row in rows:
        number = row["query"].split()[-1].rstrip("?")
        assert row["positive"] == {"text": None, "image": str(pictures / f"{number}.png")}
        assert row["negative"]["text"] == "another"


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ({"text": "", "image": None}, "neither text nor image"),
        ({}, "neither text nor image"),
        ({"image": "../secret.png"}, "outside the data folder"),
        ({"image": "/etc/hostname"}, "outside the data folder"),
        ({"image": 3}, "must be strings"),
        ({"picture": "a.png"}, "must be a text or"),
        ([], "must be a text or"),
    ],
)
def test_a_sample_that_is_none_is_named(write, sample, told):
    with pytest.raises(InputError, match=f"line 2.*{told}"):
        read_triplets(write(ROWS[0], {"query": "q", "positive": sample, "negative": "n"}), cap=9, seed=0)


def test_images_that_are_none_are_told_when_read_or_when_decoded(write, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (64, 64)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    row = {"query": "q", "negative": "n"}
    for name, told in (("absent.png", "is missing"), ("text.png", "does not decode")):
        with pytest.raises(InputError, match=told):
            read_triplets(write({**row, "positive": {"image": name}}), cap=9, seed=0)
    # The header is whole; the pixels are not, and only reading them tells.
    (kept,) = read_triplets(write({**row, "positive": {"image": "cut.png"}}), cap=9, seed=0)
    with pytest.raises(InputError, match=r"cut\.png does not decode.*replace the file"):
        SampleReader(lambda samples: samples)([kept["positive"]])


def test_a_decompression_bomb_is_refused(monkeypatch, tmp_path):
    Image.new("1", (200, 200)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(samples, "MAX_PIXELS", 10_000)
    with pytest.raises(InputError, match="more than 10000 pixels"):
        samples.load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "cap must be"),
        (True, "cap must be"),
        ("many", "cap must be"),
        ({"weight": 1}, "cap is missing"),
        ({"cap": 3, "wait": 1}, "unknown"),
        ({"cap": 3, "weight": 0}, "weight must be"),
        ({"cap": 3, "file": 4}, "file must be"),
        ({"cap": 3, "per_document": 0}, "per_document must be"),
        ({"cap": 3, "per_document": 2.0}, "per_document must be"),
        ({"cap": 3, "teacher": "both"}, "teacher must be 'backbone' or 'widest' or 'start', not 'both'"),
    ],
)
def test_a_malformed_source_is_named(value, told):
    with pytest.raises(InputError, match=f"source 'x'.*{told}"):
        Source.parse("x", value)


def test_a_source_may_name_its_file(write, tmp_path):
    write(*ROWS)
    found = read_sources(tmp_path, {"x": {"cap": 3, "file": "pairs.jsonl"}}, seed=0, missing_negative="drop")
    assert len(found["x"]) == 3
