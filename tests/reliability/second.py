"""A second process opens an index that is open: it must be told so, in words and at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from metaembed_rag import MetaEmbedIndex

from .cached_model import cached_model

ROOT = Path(__file__).parents[2]

#: Imports and the model are loaded before the clock starts: neither has to do with the lock.
_SECOND = """
import json, sys, time
import qdrant_client
from metaembed_rag import MetaEmbedIndex
from metaembed_rag.errors import MetaEmbedError
started = time.perf_counter()
try:
    MetaEmbedIndex(sys.argv[1], engine=sys.argv[2]).close()
    outcome = "opened"
except MetaEmbedError as error:
    outcome, words = type(error).__name__, str(error)
print(json.dumps([outcome, words, time.perf_counter() - started]))
"""


@dataclass(frozen=True, slots=True)
class SecondReport:
    """What the second process was told, after how many seconds, and how the command line ended."""

    error: str
    words: str
    seconds: float
    code: int
    said: str


def run_second(engine: Literal["edge", "local"], folder: Path, *, pages: int) -> SecondReport:
    """Open an index of so many pages, and again from another process."""
    path = folder / "index"
    with MetaEmbedIndex(path, engine=engine, model=cached_model()) as index:
        vectors = np.random.default_rng(0).normal(size=(pages, 64, index.model.dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        index.add_texts([f"text {n}" for n in range(pages)], [str(n) for n in range(pages)], embeddings=list(vectors))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            [sys.executable, "-c", _SECOND, str(path), engine],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
            env=environment,
        )
        error, words, seconds = json.loads(ended.stdout)
        command = subprocess.run(
            [sys.executable, "-m", "metaembed_rag.cli", "info", "--index", str(path)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=environment,
        )
        # The first process goes on undisturbed.
        assert len(index) == pages
        index.add_texts(["one more"])
        assert len(index) == pages + 1
    return SecondReport(error, words, seconds, command.returncode, command.stderr)
