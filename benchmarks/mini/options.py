"""What the scripts that measure a model on the development benchmarks ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from metaembed_rag.evaluation.benchmarks import READERS, Benchmark, read_benchmark
from metaembed_rag.evaluation.filings import read_financebench


def model_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """``--model`` and ``--out``, whose help is ``out``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="packaged model, model folder or hub id")
    parser.add_argument("--out", type=Path, required=True, help=out)
    return parser


def make_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """``model_parser``'s and ``add_benchmarks``'."""
    parser = model_parser(description, out)
    add_benchmarks(parser)
    return parser


def add_benchmarks(parser: argparse.ArgumentParser) -> None:
    """A folder for each benchmark, and how much of it is asked."""
    for name in READERS:
        parser.add_argument(f"--{name}", type=Path, help=f"local clone that holds {name}")
    parser.add_argument("--queries", type=int, default=0, help="only so many queries of each benchmark; 0 takes all")


def add_financebench(parser: argparse.ArgumentParser) -> None:
    """FinanceBench too, whose filings are searched one by one."""
    parser.add_argument("--financebench", type=Path, help="local clone that holds financebench")
    parser.add_argument("--filings", type=int, help="only so many filings of FinanceBench")


def parts_of(options: argparse.Namespace) -> dict[str, Callable[[], list[Benchmark]]]:
    """Readers of the benchmarks that were given, FinanceBench among them, by name; each gives parts to search."""
    readers: dict[str, Callable[[], list[Benchmark]]] = {
        name: partial(_read, name, folder) for name, folder in folders_of(options).items()
    }
    if options.financebench is not None:
        readers["financebench"] = lambda: read_financebench(options.financebench, options.filings)
    return readers


def _read(name: str, folder: Path) -> list[Benchmark]:
    return [read_benchmark(name, folder)]


def folders_of(options: argparse.Namespace) -> dict[str, Path]:
    """Folders of the benchmarks that were given, by name."""
    return {name: folder for name in READERS if (folder := getattr(options, name)) is not None}


def asked_of(options: argparse.Namespace, benchmark: Benchmark) -> Benchmark:
    """The benchmark with the first ``--queries`` of its queries."""
    return benchmark.only(list(benchmark.queries)[: options.queries or None])


def no_benchmark(parser: argparse.ArgumentParser) -> None:
    """End with usage and what is missing."""
    parser.error("no benchmark given: pass the folder of at least one, e.g. --tatqa TAT-QA")
