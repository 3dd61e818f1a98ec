"""A store is rebuilt from its dictionary, which holds no secret; an index is closed by whoever opened it."""

from __future__ import annotations

import json

import pytest
from llama_index.retrievers.metaembed import MetaEmbedRetriever, MetaEmbedVectorStore

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.budget import Budget
from metaembed_rag.errors import BudgetError, IndexClosedError, InputError


def test_a_store_is_rebuilt_from_its_dictionary(tmp_path):
    with MetaEmbedVectorStore(tmp_path / "own.index", model="mini", budget=Budget(4, 64)) as store:
        store.client.add_texts(["The ferry leaves at six."], ids=["ferry"])
        config = store.to_json()
    assert json.loads(config) == {
        "class_name": "MetaEmbedVectorStore",
        "stores_text": True,
        "is_embedding_query": True,
        "path": str(tmp_path / "own.index"),
        "model_name": "mini",
        "budget": [4, 64],
        "latency_ms": None,
    }
    with MetaEmbedVectorStore.from_json(config) as again:
        assert again.to_json() == config
        assert [node.node_id for node in again.get_nodes()] == ["ferry"]
        assert again.as_retriever().retrieve("boat")[0].node_id == "ferry"
    with pytest.raises(IndexClosedError):
        again.get_nodes()


def test_an_index_without_a_path_is_given_anew(index, filled):
    config = MetaEmbedVectorStore(index, latency_ms=20).to_dict()
    with pytest.raises(InputError, match="give index="):
        MetaEmbedVectorStore.from_dict(config)
    again = MetaEmbedVectorStore.from_dict(config, index=filled)
    assert again.client is filled
    assert again.latency_ms == 20


def test_no_key_of_a_server_is_written_down(index, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "a-secret")
    store = MetaEmbedVectorStore(index)
    for text in (store.to_json(), repr(store), str(store.embedding.to_payload()), store.embedding.to_json()):
        assert "secret" not in text


def test_the_default_index_is_the_environment_s(stored, monkeypatch):
    monkeypatch.setenv("METAEMBED_INDEX", str(stored))
    with MetaEmbedVectorStore(budget="full") as store:
        assert store.path == str(stored)
        assert len(store.get_nodes()) == 3


def test_an_index_is_closed_by_whoever_opened_it(index):
    for component in (MetaEmbedVectorStore(index), MetaEmbedRetriever(index=index)):
        with component:
            pass
    assert len(index) == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budgett": 4}, ValueError),
        ({"api_key": "x"}, ValueError),
        ({"budget": 99}, BudgetError),
        ({"budget": 4, "latency_ms": 20}, InputError),
        ({"latency_ms": -1}, InputError),
        ({"index": 3}, InputError),
        ({"index": "a", "path": "b"}, InputError),
        ({"path": "elsewhere"}, InputError),
        ({"model": "mini"}, InputError),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used(index, arguments, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        MetaEmbedVectorStore(**{"index": index, **arguments})
    assert list(tmp_path.iterdir()) == [], "nothing is made by a call that fails"


def test_a_failing_call_leaves_no_index_open(tmp_path):
    path = tmp_path / "own.index"
    for call in (
        lambda: MetaEmbedVectorStore(path, unknown=1),
        lambda: MetaEmbedRetriever.from_nodes([], path, unknown=1),
    ):
        with pytest.raises((TypeError, ValueError), match="unknown"):
            call()
        MetaEmbedIndex(path).close()
