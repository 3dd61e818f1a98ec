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
# # From PDFs to answers
#
# A folder of PDFs becomes an index; a question finds the page that answers it; `budget` says how many Meta Tokens
# take part. Everything runs on this machine: the model comes with the package, the engine runs in this process.

# %%
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt

from metaembed_rag import LADDER, MetaEmbedIndex

reports = Path("../examples/reports")
index = MetaEmbedIndex(":memory:")  # gone when it is closed; MetaEmbedIndex("reports.index") keeps it in a folder

# %% [markdown]
# ## Index
#
# Six small reports: text, tables, charts, two columns, and a delivery note that is only a picture. Pages without a
# text layer are read by OCR.

# %%
added = index.add(str(reports), progress=False)
print(added.summary())
index.info()

# %% [markdown]
# Adding the same files again costs no embedding: their content is known.

# %%
index.add(str(reports), progress=False).summary()

# %% [markdown]
# ## Ask

# %%
question = "How much revenue did the ferry company make in 2019?"
hits = index.search(question, budget=4, top_k=3)
for hit in hits:
    print(f"{hit.score:6.3f}  {Path(hit.source).name}, page {hit.page}")

# %% [markdown]
# A hit knows its page: text, passage, and picture.

# %%
fig, axes = plt.subplots(1, len(hits), figsize=(13, 6))
for axis, hit in zip(axes, hits, strict=True):
    axis.imshow(hit.image(dpi=80))
    axis.set_title(f"{Path(hit.source).name}\npage {hit.page}, score {hit.score:.2f}", fontsize=9)
    axis.axis("off")
fig.tight_layout()

# %% [markdown]
# ## Turn the budget
#
# `(q, d)` means q query Meta Tokens against d Meta Tokens of each page. A score is a sum over the query's tokens, so
# it grows with the budget; compare scores at one budget only. `right` counts the questions of
# `examples/questions.json` whose page comes first.

# %%
questions = json.loads(Path("../examples/questions.json").read_text())
print(f"{'budget':>8} {'right':>8} {'ms a question':>14}")
for budget in LADDER:
    right = 0
    started = time.perf_counter()
    for entry in questions:
        best = index.search(entry["question"], budget=budget, top_k=1)[0]
        right += (Path(best.source).name, best.page) == (entry["source"], entry["page"])
    elapsed = 1000 * (time.perf_counter() - started) / len(questions)
    print(f"{budget!s:>8} {right:>5}/{len(questions)} {elapsed:14.1f}")

# %% [markdown]
# `"full"` is `(16, 64)`; `(4, 64)` mixes a cheap query with a full page.
#
# ## Filter, read a scan, delete

# %%
ferry = {"source": hits[0].source, "page": {"gte": 3}}
[(hit.page, round(hit.score, 3)) for hit in index.search("battery", filter=ferry)]

# %%
scan = next(source for source in index.sources() if "scan" in source)
note = index.search("delivery note", filter={"source": scan})[0]
print(note.route, "|", note.text[:200])
fig, axis = plt.subplots(figsize=(5, 6))
axis.imshow(note.image(dpi=70))
axis.axis("off")
fig.tight_layout()

# %%
print(index.delete(source=scan), "page deleted")
index.close()
