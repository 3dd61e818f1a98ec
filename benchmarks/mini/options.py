"""What the scripts that measure a model on the development benchmarks ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from metaembed_rag.evaluation.benchmarks import READERS, Benchmark


def model_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """``--model`` and ``--out``, whose help is ``out``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="packaged model, model folder or hub id")
    parser.add_argument("--out", type=Path, required=True, help=out)
    return parser


def make_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """``model_parser``'s, a folder for each benchmark, and how much of it is asked."""
    parser = model_parser(description, out)
    for name in READERS:
        parser.add_argument(f"--{name}", type=Path, help=f"local clone that holds {name}")
    parser.add_argument("--queries", type=int, default=0, help="only so many queries of each benchmark; 0 takes all")
    return parser


def folders_of(options: argparse.Namespace) -> dict[str, Path]:
    """Folders of the benchmarks that were given, by name."""
    return {name: folder for name in READERS if (folder := getattr(options, name)) is not None}


def asked_of(options: argparse.Namespace, benchmark: Benchmark) -> Benchmark:
    """The benchmark with the first ``--queries`` of its queries."""
    return benchmark.only(list(benchmark.queries)[: options.queries or None])


def no_benchmark(parser: argparse.ArgumentParser) -> None:
    """End with usage and what is missing."""
    parser.error("no benchmark given: pass the folder of at least one, e.g. --tatqa TAT-QA")
