# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RAG with LlamaIndex
#
# `MetaEmbedRetriever` is a LlamaIndex retriever: it goes wherever one goes. A stand-in takes the language model's place
# and quotes the retrieved pages, so that this notebook runs offline; put a real one in its place.

# %%
import re
from pathlib import Path

from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.retrievers.metaembed import MetaEmbedRetriever

from metaembed_rag import MetaEmbedIndex

reports = sorted(path for path in Path("../examples/reports").glob("*.pdf") if "scan" not in path.name)
index = MetaEmbedIndex(":memory:")
print(index.add(reports, progress=False).summary())


# %%
def words(text):
    return set(re.findall(r"\w+", text.lower()))


class QuotingModel(CustomLLM):
    """Quotes the line of its prompt that shares most words with the question."""

    @property
    def metadata(self):
        return LLMMetadata(model_name="quoting", context_window=100_000)

    def complete(self, prompt, formatted=False, **kwargs):
        pages, question = prompt.rsplit("Question:", 1)
        return CompletionResponse(text=max(pages.splitlines()[1:], key=lambda line: len(words(question) & words(line))))

    def stream_complete(self, prompt, formatted=False, **kwargs):
        yield self.complete(prompt)


# %% [markdown]
# ## One line
#
# `budget=4` compares 4 query Meta Tokens with 8 of each page.

# %%
retriever = MetaEmbedRetriever(index=index, budget=4, similarity_top_k=3)
for node in retriever.retrieve("Which ferry runs on a battery?"):
    print(f"{node.score:.3f}  {Path(node.metadata['source']).name}, page {node.metadata['page']}")

# %%
prompt = PromptTemplate("Answer from these pages.\n\n{context_str}\n\nQuestion: {query_str}")
engine = RetrieverQueryEngine.from_args(retriever, llm=QuotingModel(), text_qa_template=prompt)
response = engine.query("What was the ferry company's total revenue in 2019?")
print(response)
for node in response.source_nodes:
    print(f"    {Path(node.metadata['source']).name}, page {node.metadata['page']}")

# %% [markdown]
# ## Filters, and the page itself
#
# The operators of `MetadataFilters` become conditions of the engine, applied in every stage of the search.

# %%
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

late = MetadataFilters(filters=[MetadataFilter(key="page", value=3, operator=FilterOperator.GTE)])
filtered = MetaEmbedRetriever(index=index, budget=4, similarity_top_k=3, filters=late)
print([(Path(node.metadata["source"]).stem, node.metadata["page"]) for node in filtered.retrieve("ticket prices")])

# %%
index.search("What was the ferry company's total revenue in 2019?", budget=4, top_k=2)

# %% [markdown]
# ## A latency instead of a budget

# %%
within = MetaEmbedRetriever(index=index, latency_ms=500, similarity_top_k=1)
print(within.retrieve("What does fault code E-07 mean?")[0].metadata)
index.close()
