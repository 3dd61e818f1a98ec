"""Train how a model reads queries, and nothing else: every document stays as it is.

Example:
    python benchmarks/mini/asking.py first --data pairs --out asked

A step of a training pays for its documents, so it holds 16 of them and its questions are told from few others. Here
documents are read once and kept. A step costs its questions alone, so it asks 64 of one pool, against their answers
and three pages each that look like answers. At every budget labels teach, and a ranking: the widest budget's of the
model as it was; of questions as people ask them (``Pool.told``) half of it is the frozen backbone's one vector's, and
there rankings count more than labels. LoRA weights of the queries' own, and the rows of their Meta Tokens,
are all that is trained; they are written to the ``query`` folder of the model in ``asked/model``.

Started again, a killed run goes on from its last checkpoint, with what it had read.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from kept import NestedScores, mean_maxsim
from peft import PeftModel
from pools import Questions, forward, read_pools
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.build import QUERY_FOLDER, add_query_adapter, save_lora
from metaembed_rag.scoring import best_per_page
from metaembed_rag.training.distillation import divergence

logger = logging.getLogger("asking")

#: Questions of a step, and pages beside each one's answer.
ASKED, BESIDE = 64, 3
#: Steps to the full rate, and between checkpoints.
WARM, SAVED = 50, 200
#: Of mean similarities, as in the recipes.
TEMPERATURE = 0.02
#: Weights of labels and ranking, and of both where the backbone teaches too.
PLAIN, TOLD = (1.0, 1.0), (0.5, 2.0)
#: What the ranking is sharpened by where the backbone teaches too, since a mean of two is flatter than either.
SHARPER = 1.2


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the model with its query adapter, everything else as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="packaged model, folder or hub id, without a query adapter")
    parser.add_argument("--data", type=Path, required=True, help="folder of JSONL sources, of prepare_data.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the model is written to OUT/model")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = MetaEmbed.from_pretrained(options.model)
    if not model.config.weighted_queries or model.config.query_adapter:
        parser.error(f"{options.model} must weigh queries, and read them as it reads documents")
    named = ("steps", "rate", "rank", "seed")
    settings = {"model": model.fingerprint} | {name: getattr(options, name) for name in named}
    run = options.out / "run.json"
    options.out.mkdir(parents=True, exist_ok=True)
    if run.exists() and json.loads(run.read_text(encoding="utf-8")) != settings:
        parser.error(f"{options.out} holds a run with other settings: give another folder")
    run.write_text(json.dumps(settings), encoding="utf-8")
    asked = list(read_pools(model, options.data, options.out / "kept", options.seed))
    torch.manual_seed(options.seed)
    adapted = add_query_adapter(model.encoder, model.config, rank=options.rank)
    train(model.encoder, adapted, asked, model.config.groups, options)
    target, config = options.out / "model", replace(model.config, query_adapter=True)
    model.save_pretrained(target)
    config.save(target)
    save_lora(adapted, config, target / QUERY_FOLDER)


def train(
    encoder: MultiVectorEncoder,
    adapted: PeftModel,
    asked: list[Questions],
    groups: Sequence[tuple[int, int]],
    options: argparse.Namespace,
) -> None:
    """Train the adapter, from the run's checkpoint where there is one."""
    trained = {name: rows for name, rows in adapted.named_parameters() if rows.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), options.rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARM, options.steps)
    checkpoint = options.out / "checkpoint.pt"
    done = _resume(checkpoint, trained, optimizer, schedule) if checkpoint.exists() else 0
    encoder.train()
    losses: list[float] = []
    for step in range(done + 1, options.steps + 1):
        # What a step draws hangs on its number alone, so a run that was killed draws what it would have drawn.
        drawn = random.Random(f"{options.seed} {step}")
        torch.manual_seed(drawn.getrandbits(32))
        (questions,) = drawn.choices(asked, [group.weight for group in asked])
        loss = _loss(encoder, questions, groups, drawn)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0:
            logger.info("step %d: loss %.4f", step, sum(losses[-50:]) / len(losses[-50:]))
        if step % SAVED == 0 or step == options.steps:
            _save(checkpoint, step, trained, optimizer, schedule)


def _save(checkpoint: Path, step: int, trained: dict[str, nn.Parameter], optimizer: Any, schedule: Any) -> None:
    part = checkpoint.with_suffix(".part")
    rows = {name: rows.detach() for name, rows in trained.items()}
    states = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    torch.save({"step": step, "trained": rows} | states, part)
    part.replace(checkpoint)


def _resume(checkpoint: Path, trained: dict[str, nn.Parameter], optimizer: Any, schedule: Any) -> int:
    """Set everything as it was after the step that is returned."""
    state = torch.load(checkpoint, weights_only=True)
    with torch.no_grad():
        for name, rows in trained.items():
            rows.copy_(state["trained"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    logger.info("going on after step %d", state["step"])
    return int(state["step"])


def _loss(
    encoder: MultiVectorEncoder, questions: Questions, groups: Sequence[tuple[int, int]], drawn: random.Random
) -> Tensor:
    """Labels and ranking over the pages of a step, added up over the budgets."""
    chosen = drawn.sample(range(len(questions.texts)), min(ASKED, len(questions.texts)))
    beside = (
        page
        for number in chosen
        for page in drawn.sample(questions.near[number].tolist(), min(BESIDE, questions.near.shape[1]))
    )
    pages = sorted({*questions.answers[chosen].tolist(), *beside})
    places = {page: place for place, page in enumerate(pages)}
    labels = torch.tensor([places[page] for page in questions.answers[chosen].tolist()])
    documents, owners = questions.documents.take(pages)
    with torch.no_grad():
        ranking = mean_maxsim(questions.vectors[chosen].float(), documents.vectors, owners) / TEMPERATURE
        if questions.pooled is not None and documents.pooled is not None:
            pooled = best_per_page(questions.pooled[chosen] @ documents.pooled.T, owners)
            ranking = _both(ranking, pooled)
    named, taught = PLAIN if questions.pooled is None else TOLD
    queries = forward(encoder, [questions.texts[number] for number in chosen], "query")
    losses = [
        named * nn.functional.cross_entropy(scores / TEMPERATURE, labels)
        + taught * divergence(scores / TEMPERATURE, ranking)
        for scores in NestedScores.apply(queries, documents.vectors, owners, groups)  # type: ignore[no-untyped-call]
    ]
    return torch.stack(losses).sum()


def _both(first: Tensor, second: Tensor) -> Tensor:
    """The mean of two rankings ``[n, m]``, the second with the first's spread, sharpened."""
    (first, spread), (second, other) = ((x - x.mean(1, keepdim=True), x.std(1, keepdim=True)) for x in (first, second))
    return SHARPER * (first + second * spread / other.clamp(min=1e-6)) / 2


if __name__ == "__main__":
    main()
