"""metaembed diagnose: look for the failure signatures of nested training in a model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaembed_rag.commands.options import JsonOption, print_json

if TYPE_CHECKING:
    from metaembed_rag.training.diagnostics import Diagnosis


def diagnose(
    model: Annotated[str, typer.Argument(help="Packaged model, model folder or hub id.")],
    data: Annotated[Path, typer.Option("--data", help="JSONL of query, positive and negative, not trained on.")],
    limit: Annotated[int, typer.Option("--limit", min=2, help="Pairs at most, drawn at random.")] = 500,
    as_json: JsonOption = False,
) -> None:
    """Quality at every budget, gradients and spread of the Meta Tokens, and what they point to."""
    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.training.data import read_pairs
    from metaembed_rag.training.diagnostics import diagnose as run

    pairs = read_pairs(data)
    random.Random(0).shuffle(pairs)  # noqa: S311 - a draw of samples, nothing secret
    found = run(MetaEmbed.from_pretrained(model), pairs[:limit])
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: Diagnosis) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    quality = Table(title=f"{found.pairs} queries over {found.documents} documents", title_justify="left")
    for name in ("budget", "accuracy", "MRR"):
        quality.add_column(name, justify="right")
    for one in found.quality:
        quality.add_row(str(one.budget), f"{one.accuracy:.3f}", f"{one.mrr:.3f}")
    console.print(quality)
    console.print(f"gap between the narrowest and the widest budget: {found.gap:+.3f} MRR")
    tokens = Table(title="Meta Tokens", title_justify="left")
    for name in ("side", "gradient: first", "median", "least", "effective rank", "redundancy"):
        tokens.add_column(name, justify="right" if name != "side" else "left")
    for side, norms, spread in (
        ("query", found.query_gradients, found.query_spread),
        ("document", found.document_gradients, found.document_spread),
    ):
        middle = sorted(norms)[len(norms) // 2]
        figures = (norms[0], middle, min(norms), spread.effective_rank, spread.redundancy)
        tokens.add_row(side, *(f"{figure:.3g}" for figure in figures))
    console.print(tokens)
    for finding in found.findings:
        console.print(Text(f"! {finding}"))
    if not found.findings:
        console.print("nothing points to a failure of the nested training")
