"""metaembed copy: move an index between a folder and a server without embedding anything again."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import typer

from metaembed_rag.commands.options import JsonOption, print_json


def copy(
    source: Annotated[str, typer.Argument(help="Folder of an index, or the URL of a Qdrant server.")],
    target: Annotated[str, typer.Argument(help="Empty or new folder, or the URL of a Qdrant server.")],
    source_collection: Annotated[str, typer.Option("--source-collection", help="Collection to copy.")] = "metaembed",
    target_collection: Annotated[str, typer.Option("--target-collection", help="Its name there.")] = "metaembed",
    precision: Annotated[
        str | None, typer.Option("--precision", help="f32, f16, int8 or 4bit [default: as it is].")
    ] = None,
    hybrid: Annotated[
        bool | None, typer.Option("--hybrid/--no-hybrid", help="Keep the words of pages [default: as it is].")
    ] = None,
    source_engine: Annotated[str, typer.Option("--source-engine", help="Of a folder: edge or local.")] = "edge",
    target_engine: Annotated[str, typer.Option("--target-engine", help="Of a folder: edge or local.")] = "edge",
    shards: Annotated[int | None, typer.Option("--shards", min=1, help="Shards of a new collection.")] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", min=1, help="Copies of each shard.")] = None,
    on_disk: Annotated[bool, typer.Option("--on-disk", help="A server reads vectors from its disk.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy an index between folders and servers without embedding anything again."""
    from contextlib import ExitStack

    from metaembed_rag.errors import IndexNotFoundError
    from metaembed_rag.progress import step_progress
    from metaembed_rag.store.copy import copy_index
    from metaembed_rag.store.open import open_engine
    from metaembed_rag.store.options import ServerOptions

    options = ServerOptions(shard_number=shards, replication_factor=replicas, on_disk=on_disk)

    def opened(place: str, collection: str, engine: str, server: ServerOptions | None) -> Any:
        if place.startswith(("http://", "https://")):
            return open_engine(path=None, url=place, collection=collection, server=server)
        kind = cast('Literal["edge", "local"]', engine)
        return open_engine(path=place, url=None, collection=collection, engine=kind)

    with ExitStack() as stack, step_progress("copying", False if as_json else None) as report:
        origin = opened(source, source_collection, source_engine, None)
        stack.callback(origin.close)
        if not origin.exists():
            raise IndexNotFoundError(f"no index at {source}")
        goal = opened(target, target_collection, target_engine, options)
        stack.callback(goal.close)
        copied = copy_index(origin, goal, precision=precision, words=hybrid, report=report)
    if as_json:
        print_json({"points": copied.points, "copied": copied.copied})
    else:
        typer.echo(f"{copied.points} points at {target}, {copied.copied} of them copied now")
