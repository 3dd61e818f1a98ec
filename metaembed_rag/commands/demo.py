"""metaembed demo: index the example reports and answer questions at several budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaembed_rag.commands.options import IndexOption


def demo(
    reports: Annotated[Path, typer.Option("--reports", help="Folder of documents.")] = Path("examples/reports"),
    index: IndexOption = None,
) -> None:
    """Index the example reports and answer questions at several budgets."""
    from metaembed_rag.demo import run_demo

    run_demo(reports, index)
