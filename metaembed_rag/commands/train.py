"""metaembed train: train Meta Tokens after a recipe (pip install "metaembed-rag[train]")."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or a packaged one: mini, paper-7b, qwen-3b.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the recipe's JSONL sources.")],
    output: Annotated[Path, typer.Option("--output", help="Checkpoints, log and model go here.")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not resume from a checkpoint.")] = False,
) -> None:
    """Train Meta Tokens after a recipe (pip install "metaembed-rag[train]").

    In several processes: torchrun --nproc-per-node 8 -m metaembed_rag.cli train RECIPE --data DATA --output RUN.
    A run that was killed goes on from its newest checkpoint when it is started again.
    """
    from metaembed_rag.training.recipe import Recipe, find_recipe

    logging.getLogger("metaembed_rag").setLevel(logging.INFO)
    content = Recipe.load(find_recipe(recipe))
    from metaembed_rag.training.train import train as run

    folder = run(content, data, output, resume=not fresh)
    if os.environ.get("RANK", "0") == "0":
        typer.echo(str(folder))
