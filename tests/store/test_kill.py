"""SIGKILL at random moments: what was acknowledged is there, nothing is partly visible, a re-run completes.

``METAEMBED_KILLS=100 pytest tests/store/test_kill.py`` runs the drill in full.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter

from .conftest import document, open_store, rows

KILLS = int(os.environ.get("METAEMBED_KILLS", "4"))
ROOT = Path(__file__).parents[2]
QUERY = rows(7, 16)


def run_and_kill(folder: Path, engine: str, seed: int, seconds: float) -> list[str]:
    """Let a writer work for some seconds after it has started, kill it, and return what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", str(folder), engine, str(seed)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", "the writer did not start"
    time.sleep(seconds)
    process.kill()
    said = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    return said


def replay(said: list[str], state: dict[str, set[tuple[str, int]]]) -> None:
    """Bring the allowed states of each document up to date: one if acknowledged, two if in between."""
    for line in said:
        if line.count(" ") != 3:
            continue  # the last line may be cut by the kill
        word, name, version, pages = line.split()
        outcome = (version, int(pages))
        state[name] = {outcome} if word == "done" else state.get(name, {("gone", 0)}) | {outcome}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_killed_writers_lose_and_show_nothing_they_should_not(kind, tmp_path):
    engine = "edge" if kind == "edge" else "local"
    generator = random.Random(20)
    state: dict[str, set[tuple[str, int]]] = {}
    acknowledged = 0
    for kill in range(KILLS):
        said = run_and_kill(tmp_path / "index", engine, kill, generator.uniform(0.02, 1.0))
        acknowledged += sum(line.startswith("done") for line in said)
        replay(said, state)
        store = open_store(kind, tmp_path)
        found = store.search(build_stages(Plan(Budget(4, 8)), QUERY), Filter(), 1000)
        seen: dict[str, list[tuple[str, int]]] = {}
        for scored in found:
            payload = scored.payload
            seen.setdefault(payload["document"], []).append((payload["metadata"]["version"], payload["page"]))
        for name, allowed in state.items():
            pages = seen.pop(name, [])
            versions = {version for version, _ in pages}
            assert len(versions) <= 1, f"{name} shows pages of several versions"
            actual = (versions.pop(), len(pages)) if pages else ("gone", 0)
            assert actual in allowed, f"{name} is {actual}, allowed {allowed} after kill {kill}"
            assert sorted(page for _, page in pages) == list(range(1, actual[1] + 1))
            state[name] = {actual}
        assert not seen, "documents that nobody wrote"
        points = sum(2 * pages for outcomes in state.values() for _, pages in outcomes)
        records = sum(outcomes != {("gone", 0)} for outcomes in state.values())
        assert store._engine.count(Filter()) == points + records + 1, "leftovers of killed writes"
        store.write([document("again", 3, digest="x", windows=2, version="again")])
        assert store.delete_source("again") == 3
        store.close()
    assert acknowledged > KILLS, "the drill wrote too little to mean anything"
