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
# # Budget and latency
#
# How many Meta Tokens take part in a search is a dial. This notebook measures what each setting costs and is worth on
# the index at hand, asks for a latency instead of a budget, and takes answers while they get better.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from metaembed_rag import MetaEmbedIndex

reports = sorted(path for path in Path("../examples/reports").glob("*.pdf") if "scan" not in path.name)
index = MetaEmbedIndex(":memory:")
print(index.add(reports, progress=False).summary())

# %% [markdown]
# ## Measure
#
# `calibrate` runs every plan on this index and this machine: how long the query takes to encode, how long the search
# takes, and how many of the pages that the full budget finds a cheaper plan finds too. It makes its queries from
# stored pages; give it your users' queries, and labels if you have them.

# %%
queries = [
    "total revenue of the ferry company in 2019",
    "what does fault code E-07 mean",
    "which ferry runs on a battery",
    "distress signal in the mountains",
    "what belongs in the first-aid kit",
    "why do people visit the library",
    "which blend was chosen for the winter espresso",
    "how often must module clamps be retightened",
    "opening hours of the branch libraries",
    "price of a crossing for a child",
    "may soap be used to clean the modules",
    "how is the water treated before cupping",
]
calibration = index.calibrate(queries, progress=False)
calibration.plot()

# %% [markdown]
# The line is the Pareto front: every plan on it is slower than the one before it, and better. In an index this small
# encoding the query is nearly all of the time, so the curve is short; over 10,000 pages it spans the ladder
# (`benchmarks/results/throughput.md`).

# %%
for row in calibration.table():
    print(
        f"{row['budget']:>8}  p50 {row['total_p50_ms']:6.1f} ms  p95 {row['total_p95_ms']:6.1f} ms  "
        f"overlap {row['overlap']:.2f}  {row['plan']}"
    )

# %% [markdown]
# ## Ask for a latency
#
# `latency_ms` is a p95 over the whole time of a query. The controller takes the best plan that meets it, follows what
# it observes, steps down when a query is late, and says so when no plan can meet the target.

# %%
slowest = calibration.front[-1].total.p95
for target in (slowest * 3, slowest * 1.3, 1.0):
    hits = index.search(queries[0], latency_ms=target)
    verdict = "met" if hits.reachable else "out of reach here: the cheapest plan answered"
    print(f"target {target:6.1f} ms  budget {hits.budget!s:>8}  {verdict}")

# %% [markdown]
# `explain` shows the plan and where the time went.

# %%
print(index.explain(queries[1], latency_ms=slowest * 3))

# %% [markdown]
# ### The controller under a load spike
#
# The same controller on a simulated machine that becomes five times slower between the 60th and the 120th query: late
# queries step down at once, and the better plans come back when the load has gone.

# %%
import random

from metaembed_rag import LADDER
from metaembed_rag.search.latency import LatencyController, Rung
from metaembed_rag.search.plan import Plan

rungs = [Rung(Plan(budget), 0.005 * 2**n, 0.006 * 2**n, 0.5 + n / 10) for n, budget in enumerate(LADDER)]
controller, noise, target = LatencyController(rungs), random.Random(1), 0.06
times, places = [], []
for query in range(220):
    choice = controller.choose(target)
    load = 5.0 if 60 <= query < 120 else 1.0
    seconds = rungs[choice.position].p50 * load * noise.lognormvariate(0, 0.08)
    controller.observe(choice, seconds)
    times.append(seconds * 1000)
    places.append(choice.position)

fig, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 4.5), layout="constrained")
above.plot(times, ".", markersize=4)
above.axhline(target * 1000, color="tab:red", linewidth=1)
above.set_ylabel("milliseconds")
below.step(range(len(places)), places, where="mid")
below.set_yticks(range(len(LADDER)), [str(budget) for budget in LADDER])
below.set_xlabel("query")
for axis in (above, below):
    axis.axvspan(60, 120, color="0.9")

# %% [markdown]
# ## Answers that get better
#
# `stream` gives a coarse ranking first and better ones as they are ready; what is there at the deadline is the answer.

# %%
for hits in index.stream("what should a group do in a thunderstorm", top_k=3):
    pages = [f"{Path(hit.source).stem} {hit.page}" for hit in hits]
    print(f"{hits.seconds * 1000:6.1f} ms  {hits.budget!s:>8}  {'final' if hits.final else '     '}  {pages}")

# %% [markdown]
# ## Keep fewer Meta Tokens
#
# An index that is never asked beyond `(4, 8)` need not store more. `resize` gives the disk back; raising it again
# embeds the stored text again.

# %%
before = index.info()
index.resize(document_tokens=8, progress=False)
after = index.info()
print({group: f"{size:,} bytes" for group, size in before["bytes_by_group"].items()})
print({group: f"{size:,} bytes" for group, size in after["bytes_by_group"].items()})
for rung, costs in before["budgets"].items():
    print(f"{rung:>8}: {costs['pages_1m'] / 2**30:7.1f} GiB of vectors for a million pages like these")

# %%
index.close()
