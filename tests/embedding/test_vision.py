"""Models that see, through MetaEmbed: what may be a query or a document, what a picture may cost, and bad input."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Gemma2Config

from metaembed_rag import MetaEmbed, MetaEmbedIndex, Page
from metaembed_rag.embedding.build import add_adapter, build_encoder, parts, save_adapter
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.inputs import DESCRIBE
from metaembed_rag.embedding.model import TruncationWarning
from metaembed_rag.errors import DocumentError, InputError, ModelError
from metaembed_rag.ingest import embed_again
from metaembed_rag.store.resize import StoredWindow

from .miniatures import SEEING, paligemma, qwen2_5_vl

NOISE = Image.effect_noise((90, 60), 80).convert("RGB")


@pytest.fixture(scope="module")
def model(miniature, tmp_path_factory):
    config = miniature("qwen2_5_vl", visual_tokens=16)
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=3)
    folder = tmp_path_factory.mktemp("model")
    save_adapter(encoder, config, folder)
    return MetaEmbed.from_pretrained(folder)


def page(text="", picture=None):
    return Page("a.pdf", 1, text, render=None if picture is None else lambda dpi: picture)


def test_queries_and_documents_take_texts_pictures_and_both(model):
    both = {"text": "what is this?", "image": NOISE}
    assert model.sees
    assert model.encode_queries(["text", NOISE, both], budget=2).shape == (3, 2, 16)
    rows = model.encode_documents(["text", NOISE, both, page("text"), page("text", NOISE), {"image": NOISE}])
    assert rows.shape == (6, 8, 16)
    np.testing.assert_allclose(rows[3], rows[0], atol=1e-5, err_msg="a page of plain text is its text")
    np.testing.assert_allclose(rows[4], rows[1], atol=1e-5, err_msg="a page that can be drawn is its picture")
    np.testing.assert_allclose(rows[5], rows[1], atol=1e-5)
    described = model.encode_documents([{"text": DESCRIBE, "image": NOISE}])
    np.testing.assert_allclose(described[0], rows[1], atol=1e-5, err_msg="a picture alone has the paper's text")
    np.testing.assert_allclose(
        model.encode_queries(["text", NOISE, both], budget=2),
        model.encode_queries(["text", NOISE, both])[:, :2],
        atol=1e-5,
    )


def test_transparent_and_grey_pictures_are_seen_on_paper(model):
    clear = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
    white = Image.new("L", (60, 60), 255)
    rows = model.encode_documents([clear, white])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_long_texts_are_cut_with_a_warning_and_windows_are_not(model):
    text = "ferries and coffee " * 20
    with pytest.warns(TruncationWarning, match="1 of 1 texts"):
        model.encode_documents([text], budget=1)
    windows = model.windows(text)
    assert all(len(window.text) <= model.config.window for window in windows)
    assert model.encode_documents([window.text for window in windows], budget=1).shape[0] == len(windows)


def broken_picture():
    file = io.BytesIO()
    NOISE.save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:200]))


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({}, "has neither text nor image"),
        ({"text": None, "image": None}, "has neither text nor image"),
        ({"text": "x", "picture": NOISE}, r"not \['picture'\]"),
        ({"image": "a.png"}, "'image' is a PIL picture, not str"),
        ({"text": 3}, "'text' is a string, not int"),
        ({"text": "\ud800"}, "not valid Unicode"),
        (3, "not int"),
        (None, "not NoneType"),
    ],
)
def test_samples_that_cannot_be_read_are_told(model, item, told):
    for encode in (model.encode_queries, model.encode_documents):
        with pytest.raises(InputError, match=told):
            encode(["fine", item])


@pytest.mark.parametrize("name", ["model", "mini"])
def test_a_picture_that_does_not_decode_is_told(name, model):
    broken = broken_picture()
    chosen = MetaEmbed.from_pretrained("mini") if name == "mini" else model
    for encode in (chosen.encode_queries, chosen.encode_documents):
        with pytest.raises(InputError, match="the picture cannot be decoded"):
            encode([{"text": "x", "image": broken}])


@pytest.mark.parametrize("items", ["one", NOISE, {"text": "x"}, page("x"), 3])
def test_a_single_input_is_told(model, items):
    for encode in (model.encode_queries, model.encode_documents):
        with pytest.raises(InputError, match="wrap it in a list"):
            encode(items)


def visual_tokens(encoder, picture):
    transformer, _ = parts(encoder)
    ids = encoder.preprocess([picture], task="document")["input_ids"]
    return int((ids == transformer.model.config.image_token_id).sum())


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("budget", [16, 64])
def test_large_pictures_cost_no_more_than_the_budget(miniature, family, budget):
    encoder = build_encoder(miniature(family, visual_tokens=budget), device="cpu")
    costs = [visual_tokens(encoder, Image.new("RGB", size)) for size in [(2000, 1500), (3000, 200), (30, 30)]]
    assert max(costs) <= budget
    assert costs[0] > budget / 2, "and use it"
    assert costs[2] <= 16


def test_tiles_are_bounded(miniature):
    # A tile of the miniature is 5 visual tokens.
    for budget, size, tiles in ((4, (200, 100), 1), (10, (200, 100), 2), (1024, (200, 200), 4)):
        encoder = build_encoder(miniature("mllama", visual_tokens=budget), device="cpu")
        features = encoder.preprocess([Image.new("RGB", size), "text"], task="document")
        assert features["aspect_ratio_mask"][0].sum() == tiles
        assert features["pixel_values"].shape[:3] == (2, 1, 4)
        rows = np.stack(encoder.encode([Image.new("RGB", (200, 50)), "text"], task="document", convert_to_numpy=True))
        assert np.isfinite(rows).all()


def test_aspect_ratios_keep_the_numbers_of_the_backbone(miniature):
    encoder = build_encoder(miniature("mllama", visual_tokens=10), device="cpu")
    vision = parts(encoder)[0].model.config.vision_config
    wide, tall = (
        encoder.preprocess([Image.new("RGB", size)], task="document")["aspect_ratio_ids"].item() - 1
        for size in ((56, 28), (28, 56))
    )
    assert [vision.supported_aspect_ratios[number] for number in (wide, tall)] == [[1, 2], [2, 1]]


def test_paligemma_2_nests_too(tmp_path):
    """Of the same type, but its language model has sliding windows and no fast attention kernel."""
    paligemma(tmp_path, language=Gemma2Config)
    config = ModelConfig("m", str(tmp_path), "paligemma", query_tokens=4, document_tokens=8, dim=16, window=64)
    encoder = build_encoder(config, device="cpu")
    items = ["a", "a longer text", NOISE, {"text": "b", "image": NOISE}]
    rows = np.stack(encoder.encode(items, task="document", convert_to_numpy=True))
    few = np.stack(encoder.encode(items, task="document", budget=3, convert_to_numpy=True))
    np.testing.assert_allclose(few, rows[:, :3], atol=1e-5)
    alone = np.concatenate([encoder.encode([item], task="document", convert_to_numpy=True) for item in items])
    np.testing.assert_allclose(alone, rows, atol=1e-5)


@pytest.mark.parametrize("family", ["paligemma", "llava"])
def test_a_backbone_whose_pictures_cost_more_is_told(miniature, family):
    with pytest.raises(ModelError, match=r"each picture costs 4 visual tokens.*set visual_tokens=4"):
        build_encoder(miniature(family, visual_tokens=3))


@pytest.mark.parametrize("family", SEEING)
def test_a_placeholder_wakes_the_vision_encoder_and_changes_nothing(miniature, family):
    encoder = build_encoder(miniature(family), device="cpu")
    transformer, _ = parts(encoder)
    texts = ["a", "a longer text"]
    encoder.train()
    plain = encoder(encoder.preprocess(texts, task="query"))["token_embeddings"]
    tower = [value for name, value in transformer.model.named_parameters() if "vision" in name or "visual" in name]
    plain.sum().backward()
    assert all(value.grad is None for value in tower)
    transformer.placeholder_images = True
    held = encoder(encoder.preprocess(texts, task="query"))["token_embeddings"]
    torch.testing.assert_close(held, plain, atol=1e-5, rtol=0)
    held.sum().backward()
    awake = [value.grad for value in tower if value.grad is not None]
    assert len(awake) > len(tower) / 2
    assert all(not gradient.any() for gradient in awake)
    encoder.eval()
    assert len(encoder(encoder.preprocess(texts, task="query"))["token_embeddings"]) == 2


def test_pictures_are_found_in_parts_of_a_batch(miniature):
    """What sentence-transformers' gradient cache does with a batch."""
    from sentence_transformers.base.losses.gradcache import _create_minibatch

    items = ["a", NOISE, "a longer text", {"text": "b", "image": NOISE.resize((30, 80))}, NOISE.rotate(90)]
    for family in SEEING:
        encoder = build_encoder(miniature(family), device="cpu")
        features = encoder.preprocess(items, task="document")
        with torch.inference_mode():
            whole = encoder(dict(features))["token_embeddings"]
            parted = [encoder(_create_minibatch(features, start, start + 2))["token_embeddings"] for start in (0, 2, 4)]
        torch.testing.assert_close(torch.cat(parted), whole, atol=1e-5, rtol=0)


def test_text_backbones_read_pictures_by_recognition():
    from PIL import ImageDraw, ImageFont

    picture = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(picture).text((20, 60), "The ferry leaves at six", fill="black", font=ImageFont.load_default(48))
    mini = MetaEmbed.from_pretrained("mini")
    assert not mini.sees
    rows = mini.encode_queries([picture, "The ferry leaves at six", {"text": "When?", "image": picture}], budget=2)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
    both = mini.encode_queries(["When?\nThe ferry leaves at six"], budget=2)
    np.testing.assert_allclose(rows[2], both[0], atol=1e-5)


def test_an_index_looks_at_pages_that_can_be_drawn(tmp_path):
    qwen2_5_vl(tmp_path, spare=80)
    config = ModelConfig(name="m", backbone=str(tmp_path), model_type="qwen2_5_vl", dim=16, window=64, visual_tokens=16)
    seeing = MetaEmbed(config, build_encoder(config, device="cpu"), "random")
    pictures = [Image.effect_noise((60 + 20 * n, 90), 40 + 30 * n).convert("RGB") for n in range(3)]
    text = "words that three windows hold, " * 5
    with MetaEmbedIndex(":memory:", engine="local", model=seeing) as index:
        pages = [Page("a.pdf", n + 1, text, render=lambda dpi, n=n: pictures[n]) for n in range(3)]
        ids = list(index.add(pages, progress=False))
        index.add_texts([text])
        assert index.info()["points"] == 3 + len(seeing.windows(text)) > 4, "a text has windows, a picture is whole"
        stored = index.vectors(ids)
        for identifier, expected in zip(ids, seeing.encode_documents(pictures), strict=True):
            np.testing.assert_allclose(stored[identifier], expected[None], atol=1e-3)
        with pytest.raises(DocumentError, match=r"a\.pdf"):
            embed_again(seeing, [StoredWindow("a.pdf", 1, text, "layer")])
        pictures[0].save(tmp_path / "page.png")
        again = embed_again(seeing, [StoredWindow(str(tmp_path / "page.png"), 1, text, "layer")])
        np.testing.assert_allclose(again, seeing.encode_documents([pictures[0]]), atol=1e-5)
        assert index.search({"text": "which?", "image": pictures[1]}, budget=4, top_k=4)
