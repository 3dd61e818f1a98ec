"""The table of fuzz targets: where each is, so that a worker loads its own and nothing else."""

from __future__ import annotations

from importlib import import_module

from .target import Target

TARGETS: dict[str, str] = {
    "pdf": "documents.Pdfs",
    "pictures": "documents.Pictures",
    "texts": "documents.Texts",
    "filters": "filters.Filters",
    "arguments": "arguments.Arguments",
    "models": "models.Models",
    "edge-indexes": "indexes.EdgeIndexes",
    "local-indexes": "indexes.LocalIndexes",
    "cli": "cli.CommandLine",
}


def load_target(name: str) -> type[Target]:
    """The class of a target."""
    module, attribute = TARGETS[name].split(".")
    found: type[Target] = getattr(import_module(f"tests.reliability.fuzz.{module}"), attribute)
    return found
