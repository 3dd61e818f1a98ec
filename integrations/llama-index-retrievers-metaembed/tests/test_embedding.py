"""MetaEmbedEmbedding: flat lists that hold the model's own Meta Tokens, of texts and of pictures."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding, SimilarityMode
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import ImageNode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.retrievers.metaembed import MetaEmbedEmbedding, MetaEmbedVectorStore
from llama_index.retrievers.metaembed.flat import document_rows, flatten, is_query, query_rows
from safetensors.numpy import load_file, save_file

from metaembed_rag import MetaEmbed
from metaembed_rag.errors import DocumentNotFoundError, InputError, ModelError
from metaembed_rag.scoring import maxsim


@pytest.fixture
def embedding(model):
    return MetaEmbedEmbedding(model)


def test_class():
    names = [base.__name__ for base in MetaEmbedEmbedding.__mro__]
    assert BaseEmbedding.__name__ in names
    assert MultiModalEmbedding.__name__ in names
    assert MetaEmbedEmbedding.class_name() == "MetaEmbedEmbedding"


async def test_numbers_are_the_model_s_to_the_bit(embedding, model):
    queries, documents = model.encode_queries(["harbour"]), model.encode_documents(["ferries", "coffee"])
    assert embedding.get_query_embedding("harbour") == queries[0].ravel().tolist()
    assert embedding.get_text_embedding_batch(["ferries", "coffee"]) == [rows.ravel().tolist() for rows in documents]
    assert await embedding.aget_query_embedding("harbour") == embedding.get_query_embedding("harbour")
    assert await embedding.aget_text_embedding("ferries") == embedding.get_text_embedding("ferries")
    both = await embedding.aget_text_embedding_batch(["ferries", "coffee"])
    assert both == embedding.get_text_embedding_batch(["ferries", "coffee"])
    assert (query_rows(embedding.get_query_embedding("harbour"), model.dim) == queries[0]).all()
    assert len(embedding.get_query_embedding("harbour")) == 16 * model.dim
    assert len(embedding.get_text_embedding("harbour")) == 64 * model.dim


async def test_pictures_are_embedded_and_marked(embedding, model, pictures):
    from PIL import Image

    path = pictures["harbour"]
    expected = model.encode_documents([Image.open(path)])[0]
    by_path = embedding.get_image_embedding(path)
    assert embedding.get_image_embedding(BytesIO(Path(path).read_bytes())) == by_path
    assert await embedding.aget_image_embedding_batch([path]) == [by_path]
    assert document_rows(by_path, model.dim).picture
    assert (document_rows(by_path, model.dim).rows == expected).all(), "exactly, in spite of the mark"
    np.testing.assert_allclose(np.reshape(by_path, expected.shape), expected, atol=1e-6)
    text = document_rows(embedding.get_text_embedding("lighthouse"), model.dim)
    assert not text.picture
    with pytest.raises(DocumentNotFoundError):
        embedding.get_image_embedding("none.png")


def test_marks_survive_json_and_any_numbers():
    import json

    random = np.random.default_rng(0)
    for _ in range(20):
        rows = random.normal(size=(64, 8)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for picture in (False, True):
            made = document_rows(json.loads(json.dumps(flatten(rows, picture=picture))), 8)
            assert made.picture is picture
            assert (made.rows == rows).all()


def test_means_of_queries_and_foreign_numbers(embedding, model):
    mean = embedding.get_agg_embedding_from_queries(["ferry", "boat to Holm"])
    rows = query_rows(mean, model.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert is_query(embedding.get_query_embedding("ferry"), model.dim)
    assert not is_query([1.0] * 16 * model.dim, model.dim)
    assert not is_query([1.0], model.dim)
    for flat, message in (
        ([1.0] * 7, "7 numbers"),
        ([0.0] * 16 * 8, "row of zeros"),
        ([1.0] * 64 * 8, "embedding of a document"),
        ([float("nan")] * 16 * 8, "finite"),
    ):
        with pytest.raises(InputError, match=message):
            query_rows(flat, 8)


def test_similarity_is_maxsim(embedding, model):
    query, text = embedding.get_query_embedding("boat"), embedding.get_text_embedding("The ferry leaves at six.")
    expected = maxsim(model.encode_queries(["boat"]), model.encode_documents(["The ferry leaves at six."]))[0, 0] / 16
    assert embedding.similarity(query, text) == pytest.approx(float(expected), abs=1e-5)
    assert embedding.similarity(text, text) == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="no distance"):
        embedding.similarity(query, text, SimilarityMode.EUCLIDEAN)
    with pytest.raises(InputError, match="7 numbers"):
        embedding.similarity(query, [0.1] * 7)


def test_nodes_are_left_as_they_were_and_pictures_told(model, pictures):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embedding = MetaEmbedEmbedding(model, callback_manager=CallbackManager([debug]))
    nodes = [
        TextNode(id_="same", text="a"),
        ImageNode(id_="same", image_path=pictures["harbour"], metadata={"path": "x"}),
    ]
    before = nodes[1].hash
    text, image = embedding(nodes)
    assert (text.text, nodes[1].text, nodes[1].hash) == ("a", "", before)
    assert image.text == "The lighthouse was built in 1911"
    assert document_rows(image.embedding, model.dim).picture
    assert not document_rows(text.embedding, model.dim).picture
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2
    assert embedding([]) == []


def test_the_first_meta_token_serves_any_vector_store(model):
    embedding = MetaEmbedEmbedding(model, meta_tokens="first")
    documents = [Document(text="Beans are roasted at 210 degrees."), Document(text="The ferry leaves at six.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    assert index.as_retriever(similarity_top_k=1).retrieve("boat departure")[0].text == "The ferry leaves at six."
    first = model.encode_queries(["x"], budget=1)[0, 0]
    np.testing.assert_allclose(embedding.get_query_embedding("x"), first, atol=1e-5)


def test_it_is_rebuilt_from_its_fields():
    embedding = MetaEmbedEmbedding("mini", meta_tokens="first", device="cpu", dtype="float32", embed_batch_size=3)
    again = MetaEmbedEmbedding.from_json(embedding.to_json())
    assert again.to_dict() == embedding.to_dict()
    assert (again.model_name, again.meta_tokens, again.embed_batch_size) == ("mini", "first", 3)
    assert (again.device, again.dtype) == ("cpu", "float32")
    assert again.get_query_embedding("x") == embedding.get_query_embedding("x")
    assert pickle.loads(pickle.dumps(again)).to_dict() == embedding.to_dict(), "as pipelines with workers do"
    for unknown in ({"unknown": 1}, {"meta_tokens": "some"}, {"dtype": "bf16"}):
        with pytest.raises(ValueError, match=next(iter(unknown))):
            MetaEmbedEmbedding(**unknown)


@pytest.mark.parametrize("given", [{"dtype": "bfloat16"}, {"device": "cpu"}])
def test_a_loaded_model_has_its_dtype_and_device_already(model, given):
    with pytest.raises(InputError, match="leave dtype and device out"):
        MetaEmbedEmbedding(model, **given)


def test_a_model_by_name_computes_in_the_dtype_that_is_asked_for():
    embedding = MetaEmbedEmbedding(dtype="bfloat16")
    embedding.get_query_embedding("x")
    assert str(embedding._loaded().encoder[0].model.dtype) == "torch.bfloat16"


@pytest.fixture
def own_model(model, tmp_path):
    """A folder with a model of other weights that has the packaged model's name."""
    model.save_pretrained(tmp_path / "own")
    path = tmp_path / "own" / "projection.safetensors"
    save_file({name: rows[::-1].copy() for name, rows in load_file(path).items()}, path)
    return tmp_path / "own"


def test_a_store_s_embedding_names_the_model_that_the_store_was_opened_with(own_model):
    with MetaEmbedVectorStore(":memory:", model=str(own_model)) as store:
        made = store.embedding
        expected = made.get_text_embedding("a text")
        for copy in (pickle.loads(pickle.dumps(made)), MetaEmbedEmbedding.from_dict(made.to_dict())):
            assert copy.get_text_embedding("a text") == expected


def test_no_other_model_stands_in_for_one_that_was_given_loaded(own_model, model):
    own, packaged = (MetaEmbedEmbedding(loaded) for loaded in (MetaEmbed.from_pretrained(own_model), model))
    assert get_transformation_hash([TextNode(text="a")], own) != get_transformation_hash([TextNode(text="a")], packaged)
    copy = pickle.loads(pickle.dumps(own))
    with pytest.raises(ModelError, match="is not the one"):
        copy.get_text_embedding("a text")
    assert pickle.loads(pickle.dumps(packaged)).get_text_embedding("a text") == packaged.get_text_embedding("a text")


def test_a_cache_that_mixes_queries_and_documents_is_refused(model):
    with pytest.raises(InputError, match="IngestionCache"):
        MetaEmbedEmbedding(model, embeddings_cache=SimpleKVStore())
