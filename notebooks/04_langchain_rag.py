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
# # RAG with LangChain
#
# `MetaEmbedVectorStore(index).as_retriever(budget=4)` is a LangChain retriever over the index that LlamaIndex uses too.
# A stand-in takes the language model's place and quotes the retrieved pages, so that this notebook runs offline.

# %%
import re
from pathlib import Path

from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from langchain_metaembed import MetaEmbedVectorStore
from metaembed_rag import MetaEmbedIndex

reports = sorted(path for path in Path("../examples/reports").glob("*.pdf") if "scan" not in path.name)
index = MetaEmbedIndex(":memory:")
print(index.add(reports, progress=False).summary())
store = MetaEmbedVectorStore(index)


# %%
def words(text):
    return set(re.findall(r"\w+", text.lower()))


class QuotingModel(SimpleChatModel):
    """Quotes the line of its prompt that shares most words with the question."""

    @property
    def _llm_type(self):
        return "quoting"

    def _call(self, messages, stop=None, run_manager=None, **kwargs):
        pages, question = str(messages[-1].content).rsplit("Question:", 1)
        return max(pages.splitlines()[1:], key=lambda line: len(words(question) & words(line)))


# %% [markdown]
# ## A chain


# %%
def context(documents):
    return "\n\n".join(document.page_content for document in documents)


prompt = ChatPromptTemplate.from_template("Answer from these pages.\n\n{context}\n\nQuestion: {question}")
chain = (
    {"context": store.as_retriever(budget=4, k=3) | context, "question": RunnablePassthrough()}
    | prompt
    | QuotingModel()
    | StrOutputParser()
)
for question in ("What was the ferry company's total revenue in 2019?", "What does fault code E-07 mean?"):
    print(question, "\n   ", chain.invoke(question))

# %% [markdown]
# ## Turn the dial at the call
#
# A retriever takes `k`, `budget` or `latency_ms` per call too. Relevance is MaxSim divided by the number of query Meta
# Tokens, so it lies between 0 and 1 at every budget.

# %%
retriever = store.as_retriever(k=2)
for options in ({"budget": 1}, {"budget": 16}, {"latency_ms": 500}):
    found = retriever.invoke("Which ferry runs on a battery?", **options)
    print(options, [(Path(document.metadata["source"]).stem, document.metadata["page"]) for document in found])

# %%
for document, relevance in store.similarity_search_with_relevance_scores("thunderstorm in the mountains", k=3):
    print(f"{relevance:.3f}  {Path(document.metadata['source']).name}, page {document.metadata['page']}")

# %% [markdown]
# ## Texts, filters, and what is diverse

# %%
store.add_texts(
    ["The harbour office is closed on public holidays.", "The harbour office opens at eight."],
    metadatas=[{"kind": "notice"}, {"kind": "notice"}],
    ids=["closed", "open"],
)
print([document.id for document in store.similarity_search("harbour office", k=5, filter={"kind": "notice"})])
diverse = store.max_marginal_relevance_search("ferry timetable and prices", k=3, fetch_k=10)
for document in diverse:
    print(Path(document.metadata.get("source", document.id)).stem, document.metadata.get("page", ""))

# %%
index.search("Which ferry runs on a battery?", budget=4, top_k=2)

# %%
index.close()
