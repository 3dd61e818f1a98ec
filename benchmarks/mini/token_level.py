"""Train the baseline that keeps a vector for every token, on the backbone and the pairs of a recipe, without teacher.

sentence-transformers' own multi-vector encoder, which follows PyLate: MiniLM, trained in full, and a projection to 128
dimensions. A step takes about five seconds on two CPU cores.
``ladder.py --token-level FOLDER`` measures it beside the Meta Tokens.

Example:
    python benchmarks/mini/token_level.py --data pairs --out token-level --steps 500
"""

from __future__ import annotations

import argparse
import logging
import random
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from metaembed_rag.embedding.backbone import MINILM, resolve_backbone
from metaembed_rag.training.compilation import compile_layers
from metaembed_rag.training.data import Triplet, read_sources, samples
from metaembed_rag.training.recipe import Recipe, find_recipe
from metaembed_rag.training.train import batch_sampler, computes_in_bfloat16

logger = logging.getLogger("token_level")

#: Texts from whose tokens the projection starts, and how many are read at once.
SPANNED, AT_ONCE = 256, 32


def main(arguments: list[str] | None = None) -> None:
    """Train and save the encoder."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = replace(Recipe.load(find_recipe(options.recipe)), steps=options.steps, seed=options.seed)
    torch.manual_seed(recipe.seed)
    pairs = read_sources(options.data, recipe.sources, seed=recipe.seed, missing_negative=recipe.missing_negative)
    encoder = MultiVectorEncoder(
        str(resolve_backbone(MINILM)), local_files_only=True, model_kwargs={"attn_implementation": recipe.attention}
    )
    if recipe.compile:
        compile_layers(encoder)
    _start_projection(encoder, pairs, recipe.seed)
    _train(encoder, recipe, pairs, options.rate)
    encoder.max_seq_length = recipe.window
    encoder.eval().save_pretrained(str(options.out))


def _start_projection(encoder: MultiVectorEncoder, pairs: dict[str, list[Triplet]], seed: int) -> None:
    """The directions in which the backbone's token states lie, instead of random ones."""
    texts = [str(row["positive"]) for row in chain.from_iterable(pairs.values())]
    texts = random.Random(seed).sample(texts, min(SPANNED, len(texts)))
    backbone, dense = encoder[0], encoder[1]
    seen = []
    with torch.no_grad():
        for first in range(0, len(texts), AT_ONCE):
            features = backbone(encoder.preprocess(texts[first : first + AT_ONCE], task="document"))
            states = nn.functional.normalize(features["token_embeddings"].float(), dim=-1)
            seen.append(states[features["attention_mask"].bool()])
        states = torch.cat(seen)
        directions = torch.linalg.eigh(states.T @ states).eigenvectors[:, -dense.out_features :]
        dense.linear.weight.copy_(directions.flip(1).T)


def _train(encoder: MultiVectorEncoder, recipe: Recipe, pairs: dict[str, list[Triplet]], rate: float) -> None:
    """Contrastive training of all weights, in-batch negatives and the hard one, with the recipe's temperature."""
    loss = MultiVectorMultipleNegativesRankingLoss(
        encoder, scale=1 / recipe.temperature, similarity_fct=mean_colbert_scores
    )
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, recipe.warmup_steps, recipe.steps)
    rows = list(chain.from_iterable(pairs.values()))
    bf16 = computes_in_bfloat16(recipe)
    encoder.train()
    for step, batch in enumerate(batch_sampler(recipe, pairs), start=1):
        features = []
        for column in zip(*(samples(rows[index]) for index in batch), strict=True):
            task, length = ("document", recipe.document_length) if features else ("query", recipe.query_length)
            encoder.max_seq_length = length
            features.append(encoder.preprocess([str(text) for text in column], task=task))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            value = loss(features, None)
        value.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % recipe.log_steps == 0:
            logger.info("step %d of %d: loss %.3f", step, recipe.steps, value.item())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recipe's JSONL sources")
    parser.add_argument("--out", type=Path, required=True, help="folder for the encoder")
    parser.add_argument("--recipe", default="mini", help="whose sources, lengths and batches to train on")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=5e-5, help="peak of the learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
