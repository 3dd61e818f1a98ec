"""What the processes of a distributed test run; each writes what it found to ``<folder>/<task>/<rank>.pt``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from metaembed_rag.budget import Budget
from metaembed_rag.training.loss import MMRLoss, Objective

GROUPS = (Budget(1, 1), Budget(2, 4), Budget(4, 8))
PAIRS = 4


class Toy(nn.Module):
    """Eight rows of input features a sample, projected and normalised: an encoder in double precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(6, 5, dtype=torch.float64)

    def forward(self, features, task=None):
        rows = nn.functional.normalize(self.layer(features["input_ids"]), dim=-1)
        return {"token_embeddings": rows, "attention_mask": torch.ones(rows.shape[:2], dtype=torch.bool)}


def columns(first: int, last: int) -> list[dict]:
    """Queries, positives and negatives ``first`` to ``last`` of one global batch."""
    generator = torch.Generator().manual_seed(7)
    shape = (2 * PAIRS, 8, 6)
    batch = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [{"input_ids": column[first:last]} for column in batch]


def loss(folder: Path) -> None:
    """Value and gradient of the gathered loss, plain and with GradCache, and of equal embeddings."""
    rank = distributed.get_rank()
    found = {}
    for name, mini_batch_size in (("plain", None), ("cached", 3)):
        model = DistributedDataParallel(Toy())
        objective = Objective(groups=GROUPS, temperature=0.5)
        value = MMRLoss(model, objective=objective, mini_batch_size=mini_batch_size)(
            columns(rank * PAIRS, (rank + 1) * PAIRS)
        )
        value.backward()
        found[name] = (value.detach(), model.module.layer.weight.grad)
    equal = [{"input_ids": torch.ones_like(column["input_ids"])} for column in columns(0, PAIRS)]
    found["equal"] = MMRLoss(Toy(), objective=Objective(groups=GROUPS))(equal).detach()
    torch.save(found, folder / f"{rank}.pt")


def sharded(folder: Path) -> None:
    """The gathered loss of an encoder whose weights FSDP shards, and of the same encoder in one piece."""
    from torch.distributed.fsdp import fully_shard

    from metaembed_rag.training.data import read_pairs
    from metaembed_rag.training.monitor import meta_token_gradients
    from metaembed_rag.training.recipe import Recipe
    from metaembed_rag.training.teaching import objective_of
    from metaembed_rag.training.train import model_config, trainable_encoder

    recipe = Recipe.load(folder / "recipe.yaml")
    pairs = read_pairs(folder / "pairs.jsonl")
    rank = distributed.get_rank()

    def gradients(encoder, rows, **options):
        batch = []
        for name in ("query", "positive", "negative"):
            task = "query" if name == "query" else "document"
            batch.append({**encoder.preprocess([row[name] for row in rows], task=task), "task": task})
        value = MMRLoss(encoder, objective=objective_of(recipe), **options)(batch)
        value.backward()
        return value.item(), meta_token_gradients(encoder)

    found = {"whole": gradients(trainable_encoder(recipe, model_config(recipe)), pairs[: 2 * PAIRS], gather=False)}
    for name, mini_batch_size in (("plain", None), ("cached", 3)):
        encoder = trainable_encoder(recipe, model_config(recipe))
        for module in list(encoder.modules()):
            if type(module).__name__ == "BertLayer":
                fully_shard(module)
        fully_shard(encoder)
        rows = pairs[rank * PAIRS : (rank + 1) * PAIRS]
        found[name] = gradients(encoder, rows, mini_batch_size=mini_batch_size)
    torch.save(found, folder / f"{rank}.pt")


def placeholders(folder: Path) -> None:
    """One process sees texts only, the other pictures only; the vision encoder is trained too."""
    from metaembed_rag.embedding.build import add_adapter, build_encoder, parts
    from metaembed_rag.embedding.config import ModelConfig

    rank = distributed.get_rank()
    config = ModelConfig.load(folder)
    encoder = build_encoder(config)
    add_adapter(encoder, config, rank=2, alpha=2, dropout=0.0, seed=0)
    transformer, _ = parts(encoder)
    transformer.placeholder_images = True
    for name, parameter in encoder.named_parameters():
        if "vision_tower.encoder.layers.0" in name or "vision_model.encoder.layers.0" in name:
            parameter.requires_grad_(True)
    encoder.train()
    seen = sum(p.numel() for n, p in encoder.named_parameters() if p.requires_grad and "vision" in n)
    model = DistributedDataParallel(encoder, broadcast_buffers=False)
    criterion = MMRLoss(model, objective=Objective(groups=GROUPS))
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    values = []
    for step in range(2):
        texts = [f"text {step} {number}" for number in range(3)]
        pictures = [Image.effect_noise((28, 28), 20 + 30 * number + step) for number in range(3)]
        samples = texts if rank == 0 else pictures
        batch = [{**encoder.preprocess(samples, task=task), "task": task} for task in ("query", "document", "document")]
        value = criterion(batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    weights = {name: value.detach() for name, value in encoder.named_parameters() if value.requires_grad}
    torch.save({"weights": weights, "vision": seen, "losses": values}, folder / f"{rank}.pt")


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    # One start for all three: loading torch takes longer than any of them.
    for task in (loss, sharded, placeholders):
        task(Path(sys.argv[1]) / task.__name__)
    distributed.destroy_process_group()
