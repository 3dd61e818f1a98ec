"""Components written down as LangChain does it, and read again."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from inspect import signature
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps, load

from langchain_metaembed import MetaEmbedEmbeddings, MetaEmbedRetriever
from langchain_metaembed.json_filter import json_filter
from metaembed_rag import Budget, MetaEmbedIndex
from metaembed_rag.errors import IndexNotFoundError

QUESTION = "When does the boat to Holm depart?"
ALLOWED: dict[str, Any] = {"valid_namespaces": ["langchain_metaembed"]}
if "allowed_objects" in signature(load).parameters:  # not in the oldest langchain-core
    ALLOWED["allowed_objects"] = [MetaEmbedRetriever, MetaEmbedEmbeddings]


@pytest.fixture
def path(model, tmp_path):
    with MetaEmbedIndex(tmp_path / "kept.index", model=model) as index:
        index.add_texts(["The ferry leaves at six.", "Beans are roasted."], metadatas=[{"day": 1}, {"day": 2}])
    return tmp_path / "kept.index"


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_retriever_is_read_again_as_it_was(path):
    arguments = {"k": 1, "filter": {"day": {"lt": 2}}, "tags": ["reports"], "metadata": {"team": "sea"}}
    with MetaEmbedRetriever(index=path, budget=(4, 64), **arguments) as retriever:
        before = retriever.invoke(QUESTION)
        written = dumps(retriever)
    held = json.loads(written)
    assert held["id"] == ["langchain_metaembed", "retrievers", "MetaEmbedRetriever"]
    assert held["kwargs"] == {**arguments, "budget": [4, 64], "index": {"path": str(path), "model": "mini"}}
    with load(held, **ALLOWED) as again:
        assert (again.k, again.budget, again.filter, again.tags) == (1, Budget(4, 64), {"day": {"lt": 2}}, ["reports"])
        assert again.invoke(QUESTION) == before
        assert dumps(again) == written


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_latency_target_is_kept_and_a_missing_index_is_told(path):
    with MetaEmbedRetriever(index=path, latency_ms=250) as retriever:
        held = dumpd(retriever)
    assert held["kwargs"]["latency_ms"] == 250
    assert "budget" not in held["kwargs"]
    path.rename(path.with_name("moved"))
    with pytest.raises(IndexNotFoundError):
        load(held, **ALLOWED)


def test_what_cannot_be_opened_again_is_not_written_as_if_it_could(read_index):
    assert dumpd(MetaEmbedRetriever(index=read_index))["type"] == "not_implemented"
    assert dumpd(MetaEmbedEmbeddings(read_index.model))["type"] == "not_implemented"
    assert dumpd(MetaEmbedEmbeddings.from_index(read_index))["type"] == "not_implemented"


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_embeddings_are_read_again_without_loading_the_model():
    held = dumpd(MetaEmbedEmbeddings("some/model", device="cpu", dtype="bfloat16"))
    assert held["kwargs"] == {"model": "some/model", "device": "cpu", "dtype": "bfloat16"}
    assert dumpd(load(held, **ALLOWED)) == held


def test_filters_become_json():
    time = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
    condition = {"and": [{"day": {"gte": time}}, {"tag": {"in": {"b", "a"}}}, {"page": (1, 2)}]}
    assert json_filter(condition) == {
        "and": [{"day": {"gte": "2024-05-01T12:00:00+00:00"}}, {"tag": {"in": ["a", "b"]}}, {"page": [1, 2]}]
    }
    json.dumps(json_filter(condition))


@pytest.mark.parametrize("budget", [4, (4, 8), "full"], ids=str)
def test_a_budget_that_was_copied_in_is_written(path, budget):
    with MetaEmbedRetriever(index=path) as retriever:
        written = dumps(retriever.model_copy(update={"budget": budget}))
    assert json.loads(written)["kwargs"]["budget"] == ("full" if budget == "full" else [4, 8])
