"""With a model that sees, every path embeds what a picture shows: a miniature backbone with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import ImageNode, QueryBundle, TextNode
from llama_index.retrievers.metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from PIL import Image

from metaembed_rag import MetaEmbed, MetaEmbedIndex
from metaembed_rag.embedding.build import build_encoder
from metaembed_rag.embedding.config import ModelConfig

MINIATURES = Path(__file__).parents[3] / "tests" / "embedding" / "miniatures.py"

pytestmark = pytest.mark.skipif(not MINIATURES.is_file(), reason="the miniatures are in the repository only")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("miniatures", MINIATURES)
    miniatures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(miniatures)
    folder = tmp_path_factory.mktemp("backbone")
    miniatures.qwen2_5_vl(folder, spare=80)
    config = ModelConfig(name="m", backbone=str(folder), model_type="qwen2_5_vl", dim=16, window=256, visual_tokens=16)
    return MetaEmbed(config, build_encoder(config, device="cpu"), "random")


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    paths = [str(tmp_path_factory.mktemp("noise") / f"{number}.png") for number in range(2)]
    for number, path in enumerate(paths):
        Image.effect_noise((60 + 30 * number, 90), 40 + 60 * number).convert("RGB").save(path)
    return paths


def by_add(store, nodes):
    store.add(nodes)


def by_from_nodes(store, nodes):
    MetaEmbedRetriever.from_nodes(nodes, store.client)


def by_pipeline(store, nodes):
    IngestionPipeline(transformations=[store.embedding], vector_store=store).run(nodes=nodes)


def by_insert(store, nodes):
    VectorStoreIndex.from_vector_store(store, embed_model=store.embedding).insert_nodes(nodes)


@pytest.mark.parametrize("write", [by_add, by_from_nodes, by_pipeline, by_insert])
def test_pictures_are_seen_with_and_without_text(seeing, noises, write):
    nodes = [
        ImageNode(id_="bare", image_path=noises[0], metadata={"file_path": noises[0]}),
        ImageNode(id_="captioned", image_path=noises[1], text="a caption", metadata={"file_path": noises[1]}),
        TextNode(id_="text", text="a text"),
    ]
    shown = [Image.open(noises[0]), {"text": "a caption", "image": Image.open(noises[1])}, "a text"]
    expected = [seeing.encode_documents([document])[0] for document in shown]
    with MetaEmbedIndex(":memory:", model=seeing) as index:
        store = MetaEmbedVectorStore(index)
        write(store, nodes)
        stored = index.vectors(["bare", "captioned", "text"])
        for node, rows in zip(nodes, expected, strict=True):
            np.testing.assert_allclose(stored[node.node_id][0], rows, atol=1e-5)
        plain = [node.model_copy(update={"embedding": None}) for node in nodes]
        assert store.get_nodes([node.node_id for node in nodes]) == plain, "nothing is written into their texts"


async def test_a_picture_asks(seeing, noises):
    nodes = [ImageNode(id_=path, image_path=path) for path in noises]
    with MetaEmbedIndex(":memory:", model=seeing) as index:
        retriever = MetaEmbedRetriever.from_nodes(nodes, index)
        image = Image.open(noises[1])
        for bundle, query in (
            (QueryBundle("", image_path=noises[1]), image),
            (QueryBundle("which?", image_path=noises[1]), {"text": "which?", "image": image}),
        ):
            expected = [(hit.id, pytest.approx(hit.score, abs=1e-4)) for hit in index.search(query)]
            for found in (retriever.retrieve(bundle), await retriever.aretrieve(bundle)):
                assert [(node.node_id, node.score) for node in found] == expected
