"""The command line: metaembed index | search | info | delete | demo | train."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from metaembed_rag.errors import MetaEmbedError

app = typer.Typer(
    help="Visual and text retrieval whose cost turns like a dial.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

IndexOption = Annotated[
    str | None,
    typer.Option("--index", help="Folder of the index [default: $METAEMBED_INDEX or ./.metaembed]."),
]
UrlOption = Annotated[str | None, typer.Option("--url", help="A Qdrant server instead of a folder.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Collection on the server.")]
ModelOption = Annotated[str, typer.Option("--model", help="Packaged model, model folder or hub id.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BudgetOption = Annotated[
    str, typer.Option("--budget", help="Meta Tokens: 4, 4,64 or full (1, 2, 4, 8, 16 are the ladder).")
]
TopKOption = Annotated[int, typer.Option("--top-k", min=1, help="Results at most.")]


@app.command()
def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders: PDF, pictures, text, Markdown.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    model: ModelOption = "mini",
    ocr: Annotated[str, typer.Option("--ocr", help="auto, never or always.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Index documents; what is in the index unchanged costs nothing."""
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.pages import OcrMode

    with MetaEmbedIndex(index, url=url, collection=collection, model=model) as opened:
        result = opened.add(paths, ocr=cast(OcrMode, ocr), progress=None if not as_json else False)
        info = opened.info()
    if as_json:
        _print_json(
            {
                "ids": list(result),
                "added": result.added,
                "unchanged": result.unchanged,
                "skipped": [{"path": error.path, "reason": error.reason} for error in result.skipped],
                "info": info,
            }
        )
        return
    from metaembed_rag.tables import added_summary

    added_summary(result, info)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What you want to find.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    model: ModelOption = "mini",
    budget: BudgetOption = "full",
    top_k: TopKOption = 5,
    source: Annotated[str | None, typer.Option("--source", help="Only pages of this document.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the pages that answer a query."""
    from metaembed_rag.index import MetaEmbedIndex

    condition = {"source": source} if source else None
    with MetaEmbedIndex(index, url=url, collection=collection, model=model, create=False) as opened:
        hits = opened.search(query, budget=budget, top_k=top_k, filter=condition)
    if as_json:
        _print_json([hit.to_dict() for hit in hits])
        return
    from metaembed_rag.tables import hits_table

    hits_table(query, hits)


@app.command()
def info(
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    as_json: JsonOption = False,
) -> None:
    """Say what is in an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(index, url=url, collection=collection, create=False) as opened:
        content = opened.info()
    if as_json:
        _print_json(content)
        return
    from metaembed_rag.tables import info_table

    info_table(content)


@app.command()
def delete(
    source: Annotated[str, typer.Argument(help="The document, as it was given when it was indexed.")],
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    as_json: JsonOption = False,
) -> None:
    """Delete a document from an index."""
    from metaembed_rag.index import MetaEmbedIndex

    with MetaEmbedIndex(index, url=url, collection=collection, create=False) as opened:
        pages = opened.delete(source=source)
    if as_json:
        _print_json({"source": source, "pages": pages})
    else:
        typer.echo(f"{pages} pages of {source} deleted")


@app.command()
def demo(
    reports: Annotated[Path, typer.Option("--reports", help="Folder of documents.")] = Path("examples/reports"),
    index: IndexOption = None,
) -> None:
    """Index the example reports and answer questions at several budgets."""
    from metaembed_rag.demo import run_demo

    run_demo(reports, index)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a packaged one (mini).")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the recipe's JSONL sources.")],
    output: Annotated[Path, typer.Option("--output", help="Checkpoints, log and model go here.")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not resume from a checkpoint.")] = False,
) -> None:
    """Train Meta Tokens after a recipe (pip install "metaembed-rag[train]")."""
    from metaembed_rag.training.recipe import Recipe, find_recipe

    logging.getLogger("metaembed_rag").setLevel(logging.INFO)
    content = Recipe.load(find_recipe(recipe))
    from metaembed_rag.training.train import train as run

    typer.echo(str(run(content, data, output, resume=not fresh)))


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what is being done.")] = False,
) -> None:
    """Visual and text retrieval whose cost turns like a dial."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(message)s")
    if version:
        from metaembed_rag import __version__

        typer.echo(__version__)
        raise typer.Exit


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def main() -> None:
    """Entry point: our own errors become one line and exit code 1, Ctrl-C exit code 130."""
    try:
        app()
    except MetaEmbedError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished documents are kept, the unfinished one is not visible", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
