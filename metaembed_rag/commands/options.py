"""Options that several commands share, and how results are printed for programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

IndexOption = Annotated[
    str | None,
    typer.Option("--index", help="Folder of the index [default: $METAEMBED_INDEX or ./.metaembed]."),
]
UrlOption = Annotated[str | None, typer.Option("--url", help="A Qdrant server instead of a folder.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Collection on the server.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Whose documents, in an index with tenants.")]
ModelOption = Annotated[str, typer.Option("--model", help="Packaged model, model folder or hub id.")]
DtypeOption = Annotated[
    str | None,
    typer.Option("--dtype", help="In which the model computes: float32, bfloat16 or float16 [default: its own]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", help="Meta Tokens: 4, 4,64 or full (1, 2, 4, 8, 16 are the ladder) [default: full]."),
]
LatencyOption = Annotated[
    float | None,
    typer.Option("--latency-ms", help="Instead of a budget: milliseconds that 95 of 100 queries may take."),
]
TopKOption = Annotated[int, typer.Option("--top-k", min=1, help="Results at most.")]


def print_json(value: Any) -> None:
    """Print a value as indented JSON on standard output."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # File names that are not UTF-8 reach Python as lone surrogates, which JSON can hold only as escapes.
        text = json.dumps(value, indent=2)
    typer.echo(text)
