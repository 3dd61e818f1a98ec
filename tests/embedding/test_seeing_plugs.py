"""Pictures in memory, through LangChain, into a model that sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from langchain_metaembed import MetaEmbedVectorStore
from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.embedding.build import add_adapter, build_encoder, save_adapter
from metaembed_rag.embedding.config import ModelConfig

from .miniatures import qwen2_5_vl


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    backbone, folder = tmp_path_factory.mktemp("backbone"), tmp_path_factory.mktemp("model")
    torch.manual_seed(5)
    qwen2_5_vl(backbone, spare=80)
    config = ModelConfig(
        name="miniature", backbone=str(backbone), model_type="qwen2_5_vl", dim=16, window=64, visual_tokens=16
    )
    encoder = build_encoder(config, device="cpu")
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=3)
    save_adapter(encoder, config, folder)
    return MetaEmbed.from_pretrained(folder)


def test_pictures_are_seen_whatever_their_text(model):
    pictures = [Image.effect_noise((90, 60), spread).convert("RGB") for spread in (20, 90)]
    with MetaEmbedIndex(":memory:", model=model) as index:
        store = MetaEmbedVectorStore(index)
        ids = store.add_images(pictures, ids=["calm", "wild"], ocr="never")
        kept = index.vectors(ids)
        for name, picture in zip(ids, pictures, strict=True):
            np.testing.assert_allclose(kept[name][0], model.encode_documents([picture])[0], atol=1e-4)
        assert np.abs(kept["calm"] - kept["wild"]).max() > 1e-2
        found = store.similarity_search_with_score_by_image(pictures[0], k=2, budget=4)
        assert [document.id for document, _ in found] == [
            hit.id for hit in index.search(pictures[0], budget=4, top_k=2)
        ]
