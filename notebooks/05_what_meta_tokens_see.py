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
# # What Meta Tokens see
#
# A page's score is a sum over the query's Meta Tokens. `explain_match` takes that sum apart: which lines and words of
# the page carry it, drawn over the page's picture.

# %%
from pathlib import Path

from metaembed_rag import MetaEmbedIndex
from metaembed_rag.display import meta_token_report

reports = sorted(path for path in Path("../examples/reports").glob("*.pdf") if "scan" not in path.name)
index = MetaEmbedIndex(":memory:")
print(index.add(reports, progress=False).summary())

# %% [markdown]
# ## Evidence on the page

# %%
question = "What was the ferry company's total revenue in 2019?"
hit = index.search(question, top_k=1)[0]
evidence = index.explain_match(question, hit)
evidence

# %%
for line in evidence.top_lines(3):
    print(f"{line.heat:.2f}  {line.text}")

# %% [markdown]
# How often the hottest three lines hold the answer is measured in `benchmarks/results/evidence.md`.
#
# ## One Meta Token at a time
#
# The first query Meta Token was trained to do alone what all sixteen do together; the later ones refine.

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(13, 6), layout="constrained")
for axis, token in zip(axes, (None, 0, 5), strict=True):
    axis.imshow(evidence.image(token=token, dpi=80))
    axis.set_title("all query Meta Tokens" if token is None else f"query Meta Token {token + 1}")
    axis.axis("off")

# %% [markdown]
# ## Nested tokens
#
# Any prefix of the rows is itself an embedding. The similarity of each document Meta Token with those before it says
# how much it adds.

# %%
import numpy as np

vectors = index.vectors([hit.id])[hit.id][0]
similarity = vectors @ vectors.T
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
picture = left.imshow(similarity, vmin=-1, vmax=1, cmap="RdBu_r")
left.set_title("cosine between the 64 document Meta Tokens of one page")
fig.colorbar(picture, ax=left)
novelty = [1.0] + [1 - float(similarity[n, :n].max()) for n in range(1, len(similarity))]
right.bar(np.arange(1, 65), novelty)
right.set_xlabel("document Meta Token")
right.set_title("1 - greatest cosine with an earlier one")

# %% [markdown]
# Each Meta Token after the first has a place in the text, coarse to fine, and speaks for what stands around it. A low
# bar is a token that repeats an earlier one, a high bar one that has something to add: a table's row, another matter.
#
# ## What each Meta Token looks at, over a collection

# %%
meta_token_report(index, index.search("annual report", top_k=12))

# %%
index.close()
