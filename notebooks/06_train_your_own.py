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
# # Train your own
#
# Matryoshka multi-vector retrieval in small: a tiny BERT with random weights, a synthetic task, and the code that
# trains large backbones too. Nothing is downloaded.

# %%
import json
import logging
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from metaembed_rag import LADDER, MetaEmbed
from metaembed_rag.training.data import read_pairs
from metaembed_rag.training.diagnostics import diagnose
from metaembed_rag.training.miniature import make_miniature
from metaembed_rag.training.train import train

logging.getLogger("metaembed_rag").setLevel(logging.ERROR)  # what the monitor finds while training is shown below
folder = Path(tempfile.mkdtemp(prefix="miniature-"))
files = make_miniature(folder, seed=0)
for name, text in read_pairs(files.test)[0].items():
    print(f"{name:>9}: {text}")

# %% [markdown]
# ## Nested
#
# Five groups of Meta Tokens are trained at once: one InfoNCE loss each, over prefixes of the same vectors.

# %%
nested = train(files.recipe, files.data, folder / "nested")
found = diagnose(MetaEmbed.from_pretrained(nested), read_pairs(files.test))

rows = [json.loads(line) for line in (folder / "nested" / "metrics.jsonl").read_text().splitlines()]
losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
fig, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.plot(*zip(*losses, strict=True))
axis.set_xlabel("step")
axis.set_ylabel("MMR loss")
fig

# %% [markdown]
# ## Diagnosis
#
# Quality at every budget, how much the tokens repeat each other, and what is likely wrong where something is.

# %%
for finding in found.findings:
    print("-", finding)
spread = found.document_spread
print(f"effective rank {spread.effective_rank:.1f} of the document tokens, mean cosine {spread.redundancy:.2f}")

# %% [markdown]
# ## Without nesting
#
# The same training with the full group alone: the narrow budgets are worse, because no loss ever asked the first Meta
# Tokens to stand alone.

# %%
flat = files.with_options(groups=((16, 64),))
wide = train(flat.recipe, flat.data, folder / "flat")
without = diagnose(MetaEmbed.from_pretrained(wide), read_pairs(files.test))

fig, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
places = range(len(LADDER))
axis.plot(places, [one.accuracy for one in found.quality], "o-", label="nested, five groups")
axis.plot(places, [one.accuracy for one in without.quality], "o--", label="(16,64) only")
axis.set_xticks(places, [str(budget) for budget in LADDER])
axis.set_xlabel("budget")
axis.set_ylabel("right document first")
axis.legend()
fig

# %% [markdown]
# `benchmarks/ablation.py` repeats this with several seeds; its table is in `benchmarks/results/ablation.md`. A real
# training is the same call with another recipe: `metaembed train qwen-3b --data pairs --output run`.
