"""The flat embedding is the first Meta Token; the multi-vector methods give the others; pictures are documents."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_metaembed import MetaEmbedEmbeddings
from metaembed_rag.errors import BudgetError, InputError, ModelError


class TestStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return MetaEmbedEmbeddings


def test_flat_vectors_are_the_first_rows(embeddings, model):
    query = model.encode_queries(["harbour"])
    documents = model.encode_documents(["ferries", "coffee"])
    np.testing.assert_allclose(embeddings.embed_query("harbour"), query[0, 0], atol=1e-5)
    np.testing.assert_allclose(embeddings.embed_documents(["ferries", "coffee"]), documents[:, 0], atol=1e-5)
    np.testing.assert_allclose(embeddings.embed_queries_multi(["harbour"], budget=4), query[:, :4], atol=1e-5)
    np.testing.assert_allclose(
        embeddings.embed_documents_multi(["ferries", "coffee"], budget=4), documents[:, :8], atol=1e-5
    )


async def test_the_asynchronous_half_gives_the_same(embeddings):
    texts = ["ferries", "coffee"]
    assert await embeddings.aembed_query("harbour") == embeddings.embed_query("harbour")
    assert await embeddings.aembed_documents(texts) == embeddings.embed_documents(texts)
    both = [
        (await embeddings.aembed_queries_multi(texts, budget=2), embeddings.embed_queries_multi(texts, budget=2)),
        (await embeddings.aembed_documents_multi(texts, budget=2), embeddings.embed_documents_multi(texts, budget=2)),
    ]
    assert all(np.array_equal(one, other) for one, other in both)


async def test_pictures_are_embedded_as_documents(embeddings, model, picture, tmp_path):
    picture.save(tmp_path / "page.png")
    (flat,) = await embeddings.aembed_images([tmp_path / "page.png"])
    np.testing.assert_allclose(flat, model.encode_documents([picture], budget=1)[0, 0], atol=1e-5)
    with pytest.raises(InputError, match="wrap it in a list"):
        embeddings.embed_images("page.png")


def test_nothing_loads_before_it_is_needed_and_a_missing_model_is_told():
    embeddings = MetaEmbedEmbeddings("no-such-model-anywhere")
    with pytest.raises(ModelError, match="no-such-model-anywhere"):
        embeddings.embed_query("x")


def test_a_bad_budget_is_refused(embeddings):
    with pytest.raises(BudgetError):
        embeddings.embed_queries_multi(["x"], budget=99)


def test_a_model_by_name_computes_in_the_dtype_that_is_asked_for():
    assert str(MetaEmbedEmbeddings(dtype="bfloat16").model.encoder[0].model.dtype) == "torch.bfloat16"
