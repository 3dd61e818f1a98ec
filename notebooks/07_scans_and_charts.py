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
# # Scans and charts
#
# Pages without a usable text layer are read by OCR, on this machine. This notebook asks a scanned delivery note, a
# table and a chart.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from metaembed_rag import MetaEmbedIndex

index = MetaEmbedIndex(":memory:")
print(index.add("../examples/reports", progress=False).summary())

# %% [markdown]
# ## A page that is only a picture

# %%
hits = index.search("How many life jackets were delivered to the quay?", top_k=1)
note = hits[0]
print(note.route, "|", note.text[:300])
hits

# %% [markdown]
# The words that OCR found have their places, so the evidence is marked on a scan as on any page.

# %%
evidence = index.explain_match("How many life jackets were delivered to the quay?", note)
evidence

# %% [markdown]
# ## A table and a chart

# %%
questions = (
    "What does a child pay for a crossing to Lille Grip?",
    "Which library branch are readers least satisfied with?",
    "How often must module clamps be retightened?",
)
fig, axes = plt.subplots(1, len(questions), figsize=(14, 6.5), layout="constrained")
for axis, question in zip(axes, questions, strict=True):
    best = index.search(question, top_k=1)[0]
    axis.imshow(index.explain_match(question, best).image(dpi=80))
    axis.set_title(f"{question}\n{Path(best.source).name}, page {best.page}", fontsize=8)
    axis.axis("off")

# %% [markdown]
# ## Ask with a picture
#
# A query may be a picture. A text backbone reads it by OCR; a backbone that sees looks at it.

# %%
part = note.image(dpi=144)
width, height = part.size
snippet = part.crop((0, 0, width, height // 3))
print([(Path(hit.source).name, hit.page) for hit in index.search(snippet, top_k=2)])
snippet

# %%
index.close()
