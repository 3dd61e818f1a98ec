"""The flat embedding is the first Meta Token, for any of LlamaIndex's vector stores."""

from __future__ import annotations

import numpy as np
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.retrievers.metaembed import MetaEmbedEmbedding


@pytest.fixture
def embedding(model):
    return MetaEmbedEmbedding(model)


def test_class():
    assert BaseEmbedding in MetaEmbedEmbedding.__mro__
    assert MetaEmbedEmbedding.class_name() == "MetaEmbedEmbedding"


async def test_vectors_are_the_first_rows(embedding, model):
    query, documents = model.encode_queries(["harbour"])[0, 0], model.encode_documents(["ferries", "coffee"])[:, 0]
    np.testing.assert_allclose(embedding.get_query_embedding("harbour"), query, atol=1e-5)
    np.testing.assert_allclose(await embedding.aget_query_embedding("harbour"), query, atol=1e-5)
    np.testing.assert_allclose(embedding.get_text_embedding("ferries"), documents[0], atol=1e-5)
    np.testing.assert_allclose(embedding.get_text_embedding_batch(["ferries", "coffee"]), documents, atol=1e-5)
    np.testing.assert_allclose(await embedding.aget_text_embedding_batch(["ferries", "coffee"]), documents, atol=1e-5)


def test_a_vector_store_index_finds_by_it(embedding):
    documents = [Document(text="Beans are roasted at 210 degrees."), Document(text="The ferry leaves at six.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    assert index.as_retriever(similarity_top_k=1).retrieve("boat departure")[0].text == "The ferry leaves at six."


def test_it_is_rebuilt_from_its_fields(embedding):
    again = MetaEmbedEmbedding.from_dict(embedding.to_dict())
    assert again.model_name == "mini"
    with pytest.raises(ValueError, match="unknown"):
        MetaEmbedEmbedding(unknown=1)
