"""Questions answered from the example reports with LangChain: python examples/rag_langchain.py ["QUESTION" ...]

Needs langchain-metaembed and nothing else: a stand-in takes the language model's place and quotes the retrieved pages.
For a real one change the line that is marked. The index is kept, so only the first run reads the reports.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models.chat_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from langchain_metaembed import MetaEmbedVectorStore
from metaembed_rag import MetaEmbedIndex

HERE = Path(__file__).parent
QUESTIONS = ["What was the ferry company's total revenue in 2019?", "What does fault code E-07 mean?"]
PROMPT = ChatPromptTemplate.from_template(
    "Answer from these pages, and say which one.\n\n{context}\n\nQuestion: {question}"
)


class QuotingModel(SimpleChatModel):
    """Stands in for a language model: quotes the line of its prompt that shares most words with the question."""

    @property
    def _llm_type(self) -> str:
        return "quoting"

    def _call(self, messages: list[BaseMessage], stop: list[str] | None = None, *_: Any, **__: Any) -> str:
        pages, question = str(messages[-1].content).rsplit("Question:", 1)
        asked = _words(question)
        return max(pages.splitlines()[1:], key=lambda line: len(asked & _words(line)), default="")


def make_model() -> BaseChatModel:
    """The language model."""
    # The line to change, for instance into: from langchain_ollama import ChatOllama; return ChatOllama(model="qwen3")
    return QuotingModel()


def make_chain(store: MetaEmbedVectorStore, **options: Any) -> Runnable[str, dict[str, Any]]:
    """Question in; "documents" and "answer" out. ``options`` are those of ``as_retriever``."""
    answer = (
        RunnablePassthrough.assign(context=lambda held: _context(held["documents"]))
        | PROMPT
        | make_model()
        | StrOutputParser()
    )
    gathered: Runnable[str, dict[str, Any]] = {
        "documents": store.as_retriever(**options),
        "question": RunnablePassthrough(),
    } | RunnablePassthrough.assign(answer=answer)
    return gathered


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Answer questions from the example reports with LangChain.")
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--reports", type=Path, default=HERE / "reports", help="folder of documents")
    parser.add_argument("--index", type=Path, default=HERE / "rag.index", help="where the index is kept")
    dial = parser.add_mutually_exclusive_group()
    dial.add_argument("--budget", default="4", help='Meta Tokens that take part: 4, "4,64", full')
    dial.add_argument("--latency-ms", type=float, help="milliseconds that a search may take, instead of a budget")
    options = parser.parse_args(arguments)
    effort = {"budget": options.budget} if options.latency_ms is None else {"latency_ms": options.latency_ms}
    with MetaEmbedIndex(options.index) as index, MetaEmbedVectorStore(index) as store:
        index.add(options.reports)  # unchanged files cost nothing
        chain = make_chain(store, k=3, **effort)
        for question in options.questions:
            result = chain.invoke(question)
            print(f"{question}\n  {result['answer']}")
            for document in result["documents"]:
                print(f"    {Path(document.metadata['source']).name}, page {document.metadata['page']}")


def _context(documents: list[Document]) -> str:
    return "\n\n".join(
        f"[{Path(document.metadata['source']).name}, page {document.metadata['page']}]\n{document.page_content}"
        for document in documents
    )


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


if __name__ == "__main__":
    main()
