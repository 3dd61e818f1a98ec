"""Retrievers inside LangChain: chains, calls with arguments of their own, configured fields, batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnablePassthrough

from langchain_metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import Budget, MetaEmbedIndex, Page
from metaembed_rag.errors import BudgetError

QUESTION = "When does the boat to Holm depart?"


class Heard(BaseCallbackHandler):
    """Keeps what the language model was told."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.prompts += [str(message.content) for batch in messages for message in batch]


class Asked:
    """An index that keeps what each search was asked for; the answers are its own."""

    def __init__(self, index: MetaEmbedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        search = index.search

        def listening(query: Any, **options: Any) -> Any:
            self.calls.append({key: value for key, value in options.items() if value is not None})
            return search(query, **options)

        monkeypatch.setattr(index, "search", listening)

    @property
    def last(self) -> dict[str, Any]:
        return self.calls[-1]


@pytest.fixture
def asked(read_index, monkeypatch):
    return Asked(read_index, monkeypatch)


def both_kinds(index, **arguments):
    return [MetaEmbedRetriever(index=index, **arguments), MetaEmbedVectorStore(index).as_retriever(**arguments)]


def make_chain(retriever):
    prompt = ChatPromptTemplate.from_template("Pages:\n{context}\n\nQuestion: {question}")
    context = retriever | (lambda documents: "\n".join(document.page_content for document in documents))
    model = FakeListChatModel(responses=["At six."])
    return {"context": context, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


async def test_a_chain_hands_the_right_page_to_the_model(read_index):
    for retriever in both_kinds(read_index, budget=4, k=1):
        heard = Heard()
        assert make_chain(retriever).invoke(QUESTION, {"callbacks": [heard]}) == "At six."
        assert await make_chain(retriever).ainvoke(QUESTION, {"callbacks": [heard]}) == "At six."
        assert len(heard.prompts) == 2
        assert all("six in the morning" in prompt and "roasted" not in prompt for prompt in heard.prompts)


def test_a_call_may_name_its_own_number_budget_and_filter(read_index, asked):
    for retriever in both_kinds(read_index, budget=4):
        assert len(retriever.invoke(QUESTION, k=2)) == 2
        assert asked.last == {"top_k": 2, "budget": Budget(4, 8)}
        retriever.invoke(QUESTION, budget=2)
        assert asked.last == {"top_k": 4, "budget": Budget(2, 4)}
        (document,) = retriever.invoke(QUESTION, filter={"topic": "coffee"})
        assert document.metadata == {"topic": "coffee"}
        assert len(retriever.bind(k=1).invoke(QUESTION, verbose=True)) == 1


def test_fields_are_configured(read_index, asked):
    fields = {name: ConfigurableField(id=name) for name in ("k", "budget", "latency_ms")}
    for retriever in both_kinds(read_index, budget=8, k=3):
        configurable = retriever.configurable_fields(**fields)
        configurable.invoke(QUESTION)
        assert asked.last == {"top_k": 3, "budget": Budget(8, 16)}
        configurable.with_config(configurable={"budget": 2, "k": 1}).invoke(QUESTION)
        assert asked.last == {"top_k": 1, "budget": Budget(2, 4)}
        chain = configurable | (lambda documents: len(documents))
        assert chain.invoke(QUESTION, {"configurable": {"k": 2, "budget": "4,64"}}) == 2
        assert asked.last == {"top_k": 2, "budget": Budget(4, 64)}
        with pytest.raises(ValueError, match="exceeds the full budget"):
            configurable.with_config(configurable={"budget": 99}).invoke(QUESTION)


async def test_a_latency_target_reaches_the_index_until_a_budget_replaces_it(read_index, asked):
    index_wide = MetaEmbedVectorStore(read_index, latency_ms=60_000)
    assert len(index_wide.similarity_search(QUESTION, k=2)) == 2
    assert asked.last == {"top_k": 2, "latency_ms": 60_000}
    for retriever in both_kinds(read_index, latency_ms=50_000, k=3):
        assert {document.id for document in retriever.invoke(QUESTION)} == {"ferry", "coffee", "solar"}
        assert asked.last == {"top_k": 3, "latency_ms": 50_000}
        assert len(await retriever.ainvoke(QUESTION, latency_ms=40_000)) == 3
        assert asked.last == {"top_k": 3, "latency_ms": 40_000}
        retriever.invoke(QUESTION, budget=2)
        assert asked.last == {"top_k": 3, "budget": Budget(2, 4)}
    fields = {name: ConfigurableField(id=name) for name in ("budget", "latency_ms")}
    (alone, of_store) = (
        retriever.configurable_fields(**fields) for retriever in both_kinds(read_index, latency_ms=50_000)
    )
    of_store.with_config(configurable={"budget": 2}).invoke(QUESTION)
    assert asked.last == {"top_k": 4, "budget": Budget(2, 4)}
    alone.with_config(configurable={"budget": 2, "latency_ms": None}).invoke(QUESTION)
    assert asked.last == {"top_k": 4, "budget": Budget(2, 4)}
    with pytest.raises(ValueError, match="not both"):
        alone.with_config(configurable={"budget": 2}).invoke(QUESTION)


def test_a_store_retriever_listens_to_its_search_kwargs(read_index, asked):
    retriever = MetaEmbedVectorStore(read_index).as_retriever(k=3)
    retriever.search_kwargs["k"] = 1
    assert len(retriever.invoke(QUESTION)) == 1
    retriever.search_kwargs["budget"] = 99
    with pytest.raises(BudgetError):
        retriever.invoke(QUESTION)


async def test_batches_answer_in_order(read_index):
    questions = [QUESTION, "How hot are beans roasted?", "When is the sun strongest?"]
    for retriever in both_kinds(read_index, budget=4, k=1):
        expected = [[retriever.invoke(question)[0].id] for question in questions]
        assert [[found.id for found in answer] for answer in retriever.batch(questions)] == expected
        assert [[found.id for found in answer] for answer in await retriever.abatch(questions)] == expected


def test_pages_of_files_name_their_place(index):
    index.add(Page("report.pdf", 3, "Ticket prices rise in spring.", metadata={"year": 2022}))
    (document,) = MetaEmbedVectorStore(index).similarity_search("fares", k=1, filter={"source": "report.pdf"})
    assert document.metadata == {"source": "report.pdf", "page": 3, "year": 2022}


@pytest.mark.parametrize("budget", [2, [4, 64], "full"], ids=str)
def test_the_dial_s_schema_takes_every_way_of_writing_a_budget(index, budget):
    field = ConfigurableField(id="budget")
    for retriever in (MetaEmbedRetriever(index=index), MetaEmbedVectorStore(index).as_retriever()):
        dial = retriever.configurable_fields(budget=field)
        schema = dial.config_schema()
        assert schema(configurable={"budget": budget})
        json.dumps(schema.model_json_schema())
        assert dial.with_config(configurable={"budget": budget}).invoke("boats")
