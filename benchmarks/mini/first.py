"""Give the first Meta Token of a trained model a projection of its own, and let it be heard; merge others.

Example:
    python benchmarks/mini/first.py averaged --data pairs --out mini

A step of a training ranks so few documents that almost any projection puts them in order. Here nothing is trained but
128 x 384 numbers behind the last layer, so the states of thousands of pairs are read once and kept, and every step
ranks all of their pages. What teaches is the model itself, as the first Meta Token would rank if it had not to be
projected: the mean of the cosines of its states, and of those of the text's means beside them. Labels count a tenth.
The recipe says which pairs. In a sum over Meta Tokens twelve twelfths of a question outvote the whole of it, so the
model's queries weigh their divisions from then on, and of its documents the first, the thirds and the twelfths are
merged into eight.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.build import HEAD_FILE, parts, save_weights
from metaembed_rag.embedding.cells import cell_means
from metaembed_rag.embedding.divisions import divisions
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.scoring import best_per_page
from metaembed_rag.training.data import read_sources, samples
from metaembed_rag.training.distillation import divergence
from metaembed_rag.training.recipe import Recipe, find_recipe
from metaembed_rag.training.samples import PAGES, SampleReader
from metaembed_rag.training.train import batch_sampler, document_cutter

logger = logging.getLogger("first")

#: Pairs of a batch, all of one source, and windows of a document that are read.
BATCH, WINDOWS = 32, 2
#: Questions of a step; it ranks all pages.
ASKED = 384
#: Of the cosines, and the share of the labels beside the teacher.
TEMPERATURE, LABELS = 0.05, 0.1
#: Of a query's first Meta Token, its thirds and its twelfths: round numbers by which the development benchmarks gain.
DIVISION_WEIGHTS = (1.0, 0.9, 0.5)
#: Of a document's Meta Tokens: the first, its thirds and its twelfths. The next division stays as it is: fewer than 48
#: means would say less of a text that has so much to say.
MERGED_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """What the first Meta Token's state is made of, in the last layer: ``[n, hidden]`` of itself and of its text.

    Attributes:
        meta: its own.
        text: the mean of the text's.
        pages: ``[n]``, the pair of each, ascending from 0.
    """

    meta: Tensor
    text: Tensor
    pages: Tensor

    @property
    def states(self) -> Tensor:
        """What is projected: the sum."""
        return self.meta + self.text


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the model with both projections, everything else as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="packaged model, folder or hub id, whose Meta Tokens share one projection")
    parser.add_argument("--recipe", default="mini", help="packaged recipe or YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recipe's JSONL sources")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    parser.add_argument("--batches", type=int, default=150, help=f"of {BATCH} pairs")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=777)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.out.exists():
        parser.error(f"{options.out} exists: give a new folder")
    model = MetaEmbed.from_pretrained(options.model)
    config, encoder, folder = model.config, model.encoder, model.folder
    if config.dim is None or config.first_projection or not config.pooled_text or not config.weighted_queries:
        parser.error(f"{options.model} must pool text, weight queries, and have one projection")
    recipe = Recipe.load(find_recipe(options.recipe))
    recipe = replace(
        recipe, batch_size=BATCH, document_windows=WINDOWS, steps=options.batches, seed=options.seed, compile=False
    )
    encoder.max_seq_length = recipe.document_length
    asking, telling = keep(recipe, encoder, options.data)
    weights = load_file(folder / HEAD_FILE)
    trained = train(weights["projection.weight"].float(), asking, telling, options.steps, options.rate, options.seed)
    shutil.copytree(folder, options.out)
    save_weights({**weights, "first.weight": trained.half()}, options.out / HEAD_FILE)
    counts = DIVISION_WEIGHTS[: 1 + len(divisions(config.query_tokens))]
    merged = min(MERGED_TOKENS, config.document_tokens)
    replace(config, first_projection=True, division_weights=counts, merged_tokens=merged).save(options.out)


@torch.no_grad()
def keep(recipe: Recipe, encoder: MultiVectorEncoder, data: Path) -> tuple[Kept, Kept]:
    """What a model makes of the queries and documents of a recipe's batches."""
    pairs = read_sources(data, recipe.sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    rows = list(chain.from_iterable(pairs.values()))
    drawn = [samples(rows[index])[:2] for batch in batch_sampler(recipe, pairs) for index in batch]
    reader = SampleReader(encoder.preprocess, document_cutter(recipe, encoder))
    return (
        _read(encoder, reader, [query for query, _ in drawn], "query"),
        _read(encoder, reader, [document for _, document in drawn], "document"),
    )


def train(projection: Tensor, asking: Kept, telling: Kept, steps: int, rate: float, seed: int) -> Tensor:
    """The first Meta Token's projection ``[dim, hidden]``, from the shared one on.

    Its last row, how little a query token counts, stays as it is; the others are scaled so that it counts as before.
    """
    size = int(telling.pages[-1]) + 1
    states, documents = asking.states, telling.states
    wanted = (_scores(states, documents, telling.pages) + _scores(asking.text, telling.text, telling.pages)) / 2
    directions = projection[:-1].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([directions], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    drawn = random.Random(seed)
    for step in range(1, steps + 1):
        chosen = torch.tensor(drawn.sample(range(size), min(ASKED, size)))
        scores = _scores(states[chosen] @ directions.T, documents @ directions.T, telling.pages) / TEMPERATURE
        told = divergence(scores, wanted[chosen] / TEMPERATURE)
        loss = told + LABELS * nn.functional.cross_entropy(scores, chosen)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == 1:
            logger.info("step %d: divergence %.4f, loss %.4f", step, told.item(), loss.item())
    trained = directions.detach()
    before, after = ((states @ rows.T).norm(dim=-1).mean() for rows in (projection[:-1], trained))
    return torch.cat([trained * (before / after), projection[-1:]])


def _read(encoder: MultiVectorEncoder, reader: SampleReader, texts: Sequence[Any], task: str) -> Kept:
    transformer: Any = parts(encoder)[0]
    meta, text, pages, read = [], [], [], 0
    for start in range(0, len(texts), BATCH):
        features = reader(texts[start : start + BATCH], task=task, budget=1)
        found = features.pop(PAGES, torch.arange(len(features["input_ids"])))
        mask = features["attention_mask"][:, : -features[META_TOKENS]].clone()
        states = transformer.forward(features)["token_embeddings"].float()
        meta.append(states[:, -1].clone())
        text.append(cell_means(states[:, :-1], mask, 1)[:, 0])
        pages.append(found + read)
        read += int(found[-1]) + 1
        if start % (10 * BATCH) == 0:
            logger.info("%s: read %d of %d", task, read, len(texts))
    return Kept(torch.cat(meta), torch.cat(text), torch.cat(pages))


def _scores(queries: Tensor, documents: Tensor, pages: Tensor) -> Tensor:
    """Cosines ``[queries, pages]``, each page's best window."""
    queries, documents = (nn.functional.normalize(rows, dim=-1) for rows in (queries, documents))
    return best_per_page(queries @ documents.T, pages)


if __name__ == "__main__":
    main()
