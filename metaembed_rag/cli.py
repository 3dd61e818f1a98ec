"""The command line: metaembed index | search | info | delete | calibrate | demo | doctor | train | mine | diagnose."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from metaembed_rag.commands.calibrate import calibrate
from metaembed_rag.commands.copy import copy
from metaembed_rag.commands.delete import delete
from metaembed_rag.commands.demo import demo
from metaembed_rag.commands.diagnose import diagnose
from metaembed_rag.commands.doctor import doctor
from metaembed_rag.commands.index import index
from metaembed_rag.commands.info import info
from metaembed_rag.commands.mine import mine
from metaembed_rag.commands.resize import resize
from metaembed_rag.commands.search import search
from metaembed_rag.commands.train import train
from metaembed_rag.errors import MetaEmbedError

#: Exit code after Ctrl-C, as shells count: 128 and the number of SIGINT.
INTERRUPTED = 130

app = typer.Typer(
    help="Visual and text retrieval whose cost turns like a dial.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(index)
app.command()(search)
app.command()(info)
app.command()(delete)
app.command()(calibrate)
app.command()(resize)
app.command()(copy)
app.command()(demo)
app.command()(doctor)
app.command()(train)
app.command()(mine)
app.command()(diagnose)


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


def main() -> None:
    """Entry point: our own errors become one line and exit code 1, Ctrl-C exit code 130."""
    try:
        app()
    except MetaEmbedError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        _tell_interrupted()
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        # typer turns Ctrl-C inside a command into this exit code, without a word.
        if end.code == INTERRUPTED:
            _tell_interrupted()
        raise


def _tell_interrupted() -> None:
    typer.echo("interrupted: finished documents are kept, the unfinished one is not visible; run it again", err=True)


if __name__ == "__main__":
    main()
