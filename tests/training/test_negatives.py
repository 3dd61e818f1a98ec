"""Mining: exactly one negative a pair, never the positive in disguise, every gap reported, a file that reads back."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from metaembed_rag import MetaEmbed
from metaembed_rag.errors import InputError, MissingDependencyError
from metaembed_rag.training.data import HEADER, identity, read_pairs, read_triplets
from metaembed_rag.training.negatives import Bm25Retriever, Mining, ModelRetriever, mine, read_header, write_mined


class Table:
    """Scores by document, the same for every query."""

    name = "table"
    floor = float("-inf")

    def __init__(self, scores):
        self.table = scores

    def index(self, documents):
        self.row = np.asarray([self.table[document] for document in documents], dtype=np.float32)

    def scores(self, queries):
        return np.tile(self.row, (len(queries), 1))


PAIRS = [{"query": "q", "positive": "right", "negative": ""}]
SCORES = {"right": 10.0, "near": 9.6, "Right ": 10.0, "hard": 9.0, "soft": 8.0, "far": 1.0}


def mined(scores=SCORES, pairs=PAIRS, documents=("near", "hard", "soft", "far"), **options):
    found, report = mine(pairs, Table(scores), documents=documents, options=Mining(**options))
    return [one.pair["negative"] for one in found], report


def test_the_hardest_below_the_threshold_is_taken():
    assert mined()[0] == ["hard"]
    assert mined()[1].false_negatives == 1
    assert mined(threshold=0.97)[0] == ["near"]
    assert mined(threshold=0.85)[0] == ["soft"]


def test_depth_draws_among_the_hardest_from_a_seed():
    drawn = {mined(depth=2, seed=seed)[0][0] for seed in range(20)}
    assert drawn == {"hard", "soft"}
    assert mined(depth=2, seed=3)[0] == mined(depth=2, seed=3)[0]


def test_scores_below_zero_keep_their_order():
    scores = {"right": -1.0, "near": -1.02, "hard": -1.2, "soft": -3.0, "far": -9.0}
    assert mined(scores)[0] == ["hard"]


def test_what_equals_a_positive_is_never_a_negative():
    # The same words but for case and spaces, at a score that the threshold would let through.
    scores = {**SCORES, "Right ": 9.0, "right": 10.0}
    found, report = mined(scores, documents=("Right ", "soft"))
    assert found == ["soft"]
    assert report.documents == 2
    both = [*PAIRS, {"query": " Q", "positive": "hard", "negative": ""}]
    found, report = mined(pairs=both)
    assert found == ["soft", "soft"]
    assert report.equal > 0


def test_a_pair_without_one_is_dropped_or_given_a_random_one_and_reported(caplog):
    scores = {"right": 0.0, "near": 0.0, "far": 0.0}
    table = Table(scores)
    table.floor = 0.0
    pairs = [*PAIRS, {"query": "other", "positive": "near", "negative": ""}]
    found, report = mine(pairs, table, documents=["far"])
    assert (found, report.dropped, report.mined) == ([], [0, 1], 0)
    found, report = mine(pairs, table, documents=["far"], options=Mining(missing="random", seed=1))
    assert [one.how for one in found] == ["random", "random"]
    assert report.random == 2
    for one in found:
        assert identity(one.pair["negative"]) != identity(one.pair["positive"])
    assert "0 of 2 pairs have a hard negative, 2 a random one" in caplog.text
    # Nothing but the positive: a random one would be the positive in disguise.
    assert mine(PAIRS, Table(scores), options=Mining(missing="random"))[1].dropped == [0]


def test_bm25_finds_the_document_that_shares_words():
    pairs = [
        {"query": "when does the ferry leave Holm", "positive": "the ferry leaves Holm at six", "negative": ""},
        {"query": "roasting of coffee", "positive": "coffee roasting takes twelve minutes", "negative": ""},
        {"query": "zebra", "positive": "zebra", "negative": ""},
    ]
    found, report = mine(pairs, Bm25Retriever(), documents=["ferry tickets for families", "tax law"])
    assert found[0].pair["negative"] == "ferry tickets for families"
    assert 2 in report.dropped


def test_the_model_mines_for_itself(miniature, whole_model):
    pairs = read_pairs(miniature.test)
    found, report = mine(pairs, ModelRetriever(whole_model, budget=(4, 8)))
    assert report.mined + len(report.dropped) == len(pairs)
    assert whole_model.fingerprint in report.retriever
    for one in found:
        assert one.score <= one.positive_score
        assert identity(one.pair["negative"]) != identity(one.pair["positive"])


@pytest.fixture(scope="module")
def whole_model(miniature, tmp_path_factory):
    from metaembed_rag.embedding.build import save_adapter
    from metaembed_rag.training.train import model_config, trainable_encoder

    folder = tmp_path_factory.mktemp("model")
    config = model_config(miniature.recipe)
    save_adapter(trainable_encoder(miniature.recipe, config), config, folder)
    return MetaEmbed.from_pretrained(folder)


def test_the_file_says_how_it_was_made_and_reads_back(tmp_path):
    found, report = mine(PAIRS, Table(SCORES), documents=["hard", "soft"])
    path = tmp_path / "mined.jsonl"
    write_mined(path, found, report)
    header = read_header(path)
    assert (header["retriever"], header["mined"], header["options"]["threshold"]) == ("table", 1, 0.95)
    assert read_triplets(path, cap=9, seed=0, missing_negative="drop") == [{**PAIRS[0], "negative": "hard"}]
    placed = [{**pair, "document": "book", "pages": [3, 4]} for pair in PAIRS]
    write_mined(path, *mine(placed, Table(SCORES), documents=["hard", "soft"]))
    (read,) = read_triplets(path, cap=9, seed=0, missing_negative="drop")
    assert (read["document"], read["pages"], read["negative"]) == ("book", [3], "hard")
    line = json.loads(path.read_text().splitlines()[1])
    assert (line["how"], line["rank"], line["score"], line["positive_score"]) == ("mined", 2, 9.0, 10.0)
    assert HEADER in path.read_text().splitlines()[0]
    with pytest.raises(InputError, match="no pair has a negative left"):
        write_mined(path, [], report)


def test_images_keep_their_relative_paths(pictures, tmp_path):
    pairs = read_pairs(pictures / "pictures.jsonl")

    class Order:
        name, floor = "order", float("-inf")

        def index(self, documents):
            self.count = len(documents)

        def scores(self, queries):
            return np.tile(np.arange(self.count, 0, -1, dtype=np.float32), (len(queries), 1))

    found, report = mine(pairs, Order())
    write_mined(pictures / "mined.jsonl", found, report)
    assert "/" not in json.loads((pictures / "mined.jsonl").read_text().splitlines()[1])["positive"]["image"]
    assert len(read_triplets(pictures / "mined.jsonl", cap=99, seed=0)) == report.mined
    with pytest.raises(InputError, match="beside the data"):
        write_mined(tmp_path / "elsewhere" / "mined.jsonl", found, report)
    with pytest.raises(InputError, match="BM25 reads texts only"):
        mine(pairs, Bm25Retriever())


def test_mistakes_are_told(monkeypatch):
    for options, told in (
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.2}, "threshold"),
        ({"depth": 0}, "depth"),
        ({"missing": "ignore"}, "missing"),
    ):
        with pytest.raises(InputError, match=told):
            Mining(**options)
    with pytest.raises(InputError, match="no pairs"):
        mine([], Table(SCORES))
    with pytest.raises(InputError, match="gave scores"):
        mine(PAIRS, Table({**SCORES, "right": float("nan")}))
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingDependencyError, match="pip install bm25s"):
        Bm25Retriever()
