"""Retrieval inside LangChain: chains, budgets, filters, scores, and an index shared with the core."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from langchain_metaembed import MetaEmbedRetriever, MetaEmbedVectorStore
from metaembed_rag import LADDER, Page

QUESTION = "When does the boat to Holm depart?"


class Heard(BaseCallbackHandler):
    """Keeps what the language model was told."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.prompts += [str(message.content) for batch in messages for message in batch]


def make_chain(retriever):
    prompt = ChatPromptTemplate.from_template("Pages:\n{context}\n\nQuestion: {question}")
    context = retriever | (lambda documents: "\n".join(document.page_content for document in documents))
    model = FakeListChatModel(responses=["At six."])
    return {"context": context, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()


def test_a_chain_hands_the_right_page_to_the_model(index):
    chain = make_chain(MetaEmbedVectorStore(index).as_retriever(budget=4, k=1))
    heard = Heard()
    assert chain.invoke(QUESTION, {"callbacks": [heard]}) == "At six."
    (prompt,) = heard.prompts
    assert "six in the morning" in prompt
    assert "roasted" not in prompt


async def test_a_chain_runs_asynchronously(index):
    heard = Heard()
    assert await make_chain(MetaEmbedRetriever(index=index, k=1)).ainvoke(QUESTION, {"callbacks": [heard]}) == "At six."
    assert "six in the morning" in heard.prompts[0]


@pytest.mark.parametrize("budget", [*LADDER, 4, (4, 64), "full"], ids=str)
def test_the_budget_reaches_the_index(index, budget):
    store = MetaEmbedVectorStore(index)
    expected = [(hit.id, hit.score) for hit in index.search(QUESTION, budget=budget, top_k=3)]
    scored = store.similarity_search_with_score(QUESTION, k=3, budget=budget)
    assert [(document.id, score) for document, score in scored] == expected
    for retriever in (
        store.as_retriever(budget=budget, k=3),
        store.as_retriever(search_kwargs={"budget": budget, "k": 3}),
        MetaEmbedRetriever(index=index, budget=budget, k=3),
    ):
        assert [document.id for document in retriever.invoke(QUESTION)] == [identifier for identifier, _ in expected]


def test_a_call_may_name_its_own_budget_number_and_filter(index):
    retriever = MetaEmbedRetriever(index=index)
    assert len(retriever.invoke(QUESTION, k=2, budget=1)) == 2
    (document,) = retriever.invoke(QUESTION, filter={"topic": "coffee"})
    assert document.metadata == {"topic": "coffee"}


def test_relevance_lies_between_zero_and_one_at_every_budget(index):
    store = MetaEmbedVectorStore(index)
    for budget in LADDER:
        scores = [score for _, score in store.similarity_search_with_relevance_scores(QUESTION, k=3, budget=budget)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_a_threshold_keeps_what_is_relevant(index):
    store = MetaEmbedVectorStore(index)
    best, second = (score for _, score in store.similarity_search_with_relevance_scores(QUESTION, k=2))
    retriever = store.as_retriever(search_type="similarity_score_threshold", k=3, score_threshold=(best + second) / 2)
    assert [document.id for document in retriever.invoke(QUESTION)] == ["ferry"]


def test_pages_of_files_name_their_place(index):
    index.add(Page("report.pdf", 3, "Ticket prices rise in spring.", metadata={"year": 2022}))
    (document,) = MetaEmbedVectorStore(index).similarity_search("fares", k=1, filter={"source": "report.pdf"})
    assert document.metadata == {"source": "report.pdf", "page": 3, "year": 2022}
