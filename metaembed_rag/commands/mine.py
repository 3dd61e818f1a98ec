"""metaembed mine: find one hard negative for each training pair (pip install "metaembed-rag[train]")."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def mine(
    data: Annotated[Path, typer.Argument(help="JSONL of query and positive.")],
    out: Annotated[Path, typer.Option("--out", help="The mined pairs go here, beside the data if it has images.")],
    retriever: Annotated[
        str, typer.Option("--retriever", help="bm25, or a model: packaged, a folder, or a hub id.")
    ] = "bm25",
    budget: Annotated[str, typer.Option("--budget", help="Meta Tokens that a model scores with.")] = "full",
    threshold: Annotated[
        float,
        typer.Option("--threshold", help="What scores above this share of the positive may be right: passed over."),
    ] = 0.95,
    depth: Annotated[int, typer.Option("--depth", help="Draw among so many of the hardest; 1 takes the hardest.")] = 1,
    missing: Annotated[
        str, typer.Option("--missing", help="A pair without hard negative: drop it, or give it a random one.")
    ] = "drop",
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 0,
) -> None:
    """Find one hard negative for each training pair, clear of likely false ones."""
    from metaembed_rag.training.data import read_pairs
    from metaembed_rag.training.negatives import Bm25Retriever, Mining, ModelRetriever, write_mined
    from metaembed_rag.training.negatives import mine as run

    options = Mining(threshold=threshold, depth=depth, missing=missing, seed=seed)  # type: ignore[arg-type]
    pairs = read_pairs(data)
    chosen: Any
    if retriever == "bm25":
        chosen = Bm25Retriever()
    else:
        from metaembed_rag.embedding.model import MetaEmbed

        chosen = ModelRetriever(MetaEmbed.from_pretrained(retriever), budget=budget)
    mined, report = run(pairs, chosen, options=options)
    write_mined(out, mined, report)
    typer.echo(str(report))
