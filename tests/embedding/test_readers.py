"""Queries that are read with weights of their own."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.embedding.build import (
    ADAPTER_FILE,
    QUERY_FOLDER,
    add_adapter,
    add_query_adapter,
    build_encoder,
    load_adapter,
    parts,
    save_adapter,
    save_lora,
)
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.errors import IndexMismatchError, ModelError
from metaembed_rag.training.recipe import Recipe
from metaembed_rag.training.train import model_config, trainable_encoder

CONFIG = ModelConfig(
    name="two", backbone="all-MiniLM-L6-v2", query_tokens=16, document_tokens=64, dim=32, positions="anchored"
)
TEXTS = ["What is a fern?", "A plant without flowers, which has stems and leaves."]


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    """A model that reads queries as it reads documents."""
    torch.manual_seed(5)
    encoder = build_encoder(CONFIG, device="cpu")
    add_adapter(encoder, CONFIG, rank=4, alpha=4, dropout=0.0, seed=3)
    folder = tmp_path_factory.mktemp("alike")
    save_adapter(encoder, CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def apart(alike, tmp_path_factory):
    """The same with an adapter for queries: layers and the rows of query Meta Tokens."""
    encoder = build_encoder(CONFIG, device="cpu")
    load_adapter(encoder, CONFIG, alike)
    adapted = add_query_adapter(encoder, CONFIG, rank=2)
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("apart") / "model"
    MetaEmbed.from_pretrained(alike).save_pretrained(folder)
    save_lora(adapted, CONFIG, folder / QUERY_FOLDER)
    replace(CONFIG, query_adapter=True).save(folder)
    return folder


def test_queries_alone_are_read_otherwise(alike, apart):
    before, after = MetaEmbed.from_pretrained(alike), MetaEmbed.from_pretrained(apart)
    np.testing.assert_array_equal(after.encode_documents(TEXTS), before.encode_documents(TEXTS))
    moved = np.abs(after.encode_queries(TEXTS) - before.encode_queries(TEXTS)).max(axis=-1)
    assert (moved > 0.01).all(), "every Meta Token of every query"
    assert after.fingerprint != before.fingerprint


def test_an_index_stays_good_for_a_model_that_reads_queries_otherwise(alike, apart, tmp_path):
    with MetaEmbedIndex(tmp_path / "index", model=MetaEmbed.from_pretrained(alike)) as index:
        index.add_texts(TEXTS)
        before = index.search(TEXTS[0], top_k=1)
        index.calibrate(TEXTS)
        assert index.explain(TEXTS[0]).notes == ()
    with MetaEmbedIndex(tmp_path / "index", model=MetaEmbed.from_pretrained(apart)) as index:
        after = index.search(TEXTS[0], top_k=1)
        (note,) = index.explain(TEXTS[0]).notes
        assert "asks now" in note
        index.add_texts(["A third text."])
    assert after[0].score != pytest.approx(before[0].score, abs=1e-3)
    with (
        MetaEmbedIndex(tmp_path / "index", model="mini") as index,
        pytest.raises(IndexMismatchError, match="made by model 'two'"),
    ):
        index.search("fern")


def test_what_changes_documents_changes_their_fingerprint(alike, apart, tmp_path):
    documents = MetaEmbed.from_pretrained(alike).document_fingerprint
    assert MetaEmbed.from_pretrained(apart).document_fingerprint == documents
    folder = MetaEmbed.from_pretrained(apart).save_pretrained(tmp_path / "renamed")
    replace(CONFIG, name="renamed", query_adapter=True).save(folder)
    assert MetaEmbed.from_pretrained(folder).document_fingerprint == documents
    # A config that an earlier release wrote lacks what has a default.
    written = json.loads((folder / "metaembed.json").read_text())
    del written["pooled_text"]
    (folder / "metaembed.json").write_text(json.dumps(written))
    assert MetaEmbed.from_pretrained(folder).document_fingerprint == documents
    replace(CONFIG, window=128, query_adapter=True).save(folder)
    assert MetaEmbed.from_pretrained(folder).document_fingerprint != documents
    replace(CONFIG, query_adapter=True).save(folder)
    adapter = load_file(folder / ADAPTER_FILE)
    save_file({name: rows + 0.01 for name, rows in adapter.items()}, folder / ADAPTER_FILE)
    assert MetaEmbed.from_pretrained(folder).document_fingerprint != documents


def test_a_small_budget_of_queries_is_the_first_rows_of_the_large_one(apart):
    model = MetaEmbed.from_pretrained(apart)
    np.testing.assert_allclose(
        model.encode_queries(TEXTS, budget=(2, 1)), model.encode_queries(TEXTS)[:, :2], atol=1e-5
    )


def test_both_readers_share_the_vocabulary(apart):
    backbone = parts(MetaEmbed.from_pretrained(apart).encoder)[0].model
    assert backbone.queries.get_input_embeddings() is backbone.documents.get_input_embeddings()
    counted = sum(value.numel() for value in backbone.parameters())
    layers = sum(value.numel() for value in backbone.documents.encoder.parameters())
    rest = sum(value.numel() for value in backbone.documents.parameters()) - layers
    words = backbone.get_input_embeddings().weight.numel()
    assert counted == words + 2 * (layers + rest - words)


def test_a_saved_model_keeps_its_reader_of_queries(apart, tmp_path):
    model = MetaEmbed.from_pretrained(apart)
    again = MetaEmbed.from_pretrained(model.save_pretrained(tmp_path / "saved", backbone="all-MiniLM-L6-v2"))
    assert again.fingerprint == model.fingerprint
    np.testing.assert_array_equal(again.encode_queries(TEXTS), model.encode_queries(TEXTS))


def test_what_would_lose_it_is_refused(apart, tmp_path):
    with pytest.raises(ModelError, match=r"MetaEmbed\.save_pretrained"):
        MetaEmbed.from_pretrained(apart).encoder.save_pretrained(str(tmp_path))


def test_a_folder_without_it_is_incomplete(apart, tmp_path):
    folder = MetaEmbed.from_pretrained(apart).save_pretrained(tmp_path / "saved")
    (folder / QUERY_FOLDER / ADAPTER_FILE).unlink()
    with pytest.raises(ModelError, match=f"incomplete: {QUERY_FOLDER}/{ADAPTER_FILE} missing"):
        MetaEmbed.from_pretrained(folder)


def test_a_backbone_that_sees_has_no_second_reader(miniature):
    with pytest.raises(ModelError, match="query_adapter is for text backbones"):
        build_encoder(replace(miniature("llava"), query_adapter=True))
    with pytest.raises(ModelError, match="query_adapter must be true or false"):
        replace(CONFIG, query_adapter="yes")


def test_a_training_from_such_a_model_says_that_it_reads_both_alike(apart, caplog):
    recipe = Recipe(
        name="tuned",
        backbone=CONFIG.backbone,
        query_tokens=CONFIG.query_tokens,
        document_tokens=CONFIG.document_tokens,
        dim=CONFIG.dim,
        positions="anchored",
        groups=((1, 1), (4, 8)),
        sources={"pairs": 8},
        rank=4,
        alpha=4,
        start=str(apart),
    )
    with caplog.at_level(logging.WARNING, logger="metaembed_rag"):
        encoder = trainable_encoder(recipe, model_config(recipe))
    assert "reads queries with weights of their own" in caplog.text
    rows = encoder.encode(TEXTS, task="document", convert_to_numpy=True)
    wanted = MetaEmbed.from_pretrained(apart).encode_documents(TEXTS)
    np.testing.assert_allclose(np.stack(rows), wanted, atol=1e-5)
