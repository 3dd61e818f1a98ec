"""Questions answered from the example reports with LlamaIndex: python examples/rag_llamaindex.py ["QUESTION" ...]

Needs llama-index-retrievers-metaembed and nothing else: a stand-in takes the language model's place and quotes the
retrieved pages. For a real one change the line that is marked. The index is kept, so only the first run reads the reports.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.llms import LLM, CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.metaembed import MetaEmbedRetriever

from metaembed_rag import MetaEmbedIndex

HERE = Path(__file__).parent
QUESTIONS = ["What was the ferry company's total revenue in 2019?", "What does fault code E-07 mean?"]
PROMPT = PromptTemplate("Answer from these pages, and say which one.\n\n{context_str}\n\nQuestion: {query_str}")


class QuotingModel(CustomLLM):
    """Stands in for a language model: quotes the line of its prompt that shares most words with the question."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="quoting", context_window=100_000)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        pages, question = prompt.rsplit("Question:", 1)
        asked = _words(question)
        return CompletionResponse(
            text=max(pages.splitlines()[1:], key=lambda line: len(asked & _words(line)), default="")
        )

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        yield self.complete(prompt)


def make_model() -> LLM:
    """The language model."""
    # The line to change, for instance into: from llama_index.llms.ollama import Ollama; return Ollama("qwen3")
    return QuotingModel()


def make_engine(index: MetaEmbedIndex, **options: Any) -> RetrieverQueryEngine:
    """A query engine over an index; ``options`` are those of MetaEmbedRetriever.

    With ``images=True`` here, a model that sees and ``from_args(..., multimodal=True)``, the pages are shown as pictures.
    """
    retriever = MetaEmbedRetriever(index=index, **options)
    return RetrieverQueryEngine.from_args(retriever, llm=make_model(), text_qa_template=PROMPT)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Answer questions from the example reports with LlamaIndex.")
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--reports", type=Path, default=HERE / "reports", help="folder of documents")
    parser.add_argument("--index", type=Path, default=HERE / "rag.index", help="where the index is kept")
    dial = parser.add_mutually_exclusive_group()
    dial.add_argument("--budget", default="4", help='Meta Tokens that take part: 4, "4,64", full')
    dial.add_argument("--latency-ms", type=float, help="milliseconds that a search may take, instead of a budget")
    options = parser.parse_args(arguments)
    effort = {"budget": options.budget} if options.latency_ms is None else {"latency_ms": options.latency_ms}
    with MetaEmbedIndex(options.index) as index:
        index.add(options.reports)  # unchanged files cost nothing
        engine = make_engine(index, similarity_top_k=3, **effort)
        for question in options.questions:
            response = engine.query(question)
            print(f"{question}\n  {response}")
            for node in response.source_nodes:
                print(f"    {Path(node.metadata['source']).name}, page {node.metadata['page']}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


if __name__ == "__main__":
    main()
