"""The drill: start a writer, kill it, and prove that the index holds exactly what it must."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metaembed_rag.budget import Budget
from metaembed_rag.store.schema import vector_name

from .operations import OPERATIONS, State, Step, Version, carry_out
from .subject import SUBJECTS, Content, EngineName, Expected, Subject

ROOT = Path(__file__).parents[3]
#: A new index so many kills, so that some fall while one is made.
FRESH_EVERY = 10
#: How far a score may be from the one computed here.
SCORE_TOLERANCE = 1e-3
OPENING, READY = "opening\n", "ready\n"
#: Seconds for a writer to start; a loaded machine takes its time.
START_TIMEOUT = 300


@dataclass
class KillReport:
    """What a drill did and saw.

    Attributes:
        kills: SIGKILLs sent.
        opening: of these, how many hit a process that had not finished opening the index.
        interrupted: operations that were under way when the kill came, by name.
        acknowledged: operations that had been acknowledged, by name.
        pages, vectors: compared with what was written, summed over all kills.
    """

    kills: int = 0
    opening: int = 0
    interrupted: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What a writer had announced when it was killed."""

    opened: bool
    done: list[Step]
    interrupted: Step | None


def run_kills(kind: str, engine: EngineName, kills: int, folder: Path, *, seed: int = 20) -> KillReport:
    """Kill writers until ``kills`` SIGKILLs were sent; AssertionError at the first thing that is not as it must be.

    Args:
        kind: a key of ``SUBJECTS``.
        engine: "edge" or "local".
        kills: how many.
        folder: an empty folder, for indexes and what writers say.
        seed: of all choices but the moment at which a kill falls.
    """
    generator = random.Random(seed)
    report = KillReport()
    state = State()
    place = folder / "index"
    longest_delay = 1.0 if kind == "store" else 4.0
    round_ = 0
    while report.kills < kills:
        if round_ % FRESH_EVERY == 0:
            shutil.rmtree(place, ignore_errors=True)
            state = State()
        round_ += 1
        # Each operation is preferred in turn, so that kills find the short ones too.
        focus = list(OPERATIONS)[round_ % len(OPERATIONS)]
        after, delay = choose_moment(generator, focus, longest_delay)
        said = run_and_kill(
            (kind, engine, place), folder, state, generator.randrange(1 << 30), delay, after=after, focus=focus
        )
        count(report, said)
        if report.kills < kills and generator.random() < 0.25:
            # Again, while the next process mends what the first one left.
            again = run_and_kill((kind, engine, place), folder, None, 0, generator.uniform(0.0, 0.1), after=OPENING)
            count(report, again)
        state = inspect(SUBJECTS[kind](place, engine), state, said, report)
    return report


def choose_moment(generator: random.Random, focus: str, longest: float) -> tuple[str, float]:
    """What the writer must have said, and how many seconds later it is killed."""
    kind = generator.random()
    if kind < 0.2:
        return OPENING, generator.uniform(0.0, longest * 0.1)
    if kind < 0.6:
        # Deletions take milliseconds: a moment drawn from a whole second would hardly ever fall into one.
        return f'begin {{"operation": "{focus}"', generator.uniform(0.0, longest * 0.03)
    return READY, generator.uniform(0.0, longest)


def run_and_kill(
    target: tuple[str, EngineName, Path],
    folder: Path,
    state: State | None,
    seed: int,
    delay: float,
    *,
    after: str,
    focus: str = "add",
) -> Said:
    """Start a writer, kill it ``delay`` seconds after it has said ``after``, and return what it announced."""
    kind, engine, place = target
    told, log = folder / "state.json", folder / "said.txt"
    told.write_text("" if state is None else state.to_json())
    # Files, not pipes: what was written to them survives the kill, and they never make the writer wait.
    with told.open() as source, log.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.kills.writer", kind, engine, str(place), str(seed), focus],
            stdin=source,
            stdout=sink,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            wait_for(after, log, process)
            time.sleep(delay)
            assert process.poll() is None, f"the writer ended by itself, with code {process.returncode}"
        finally:
            process.kill()
            process.wait()
    return read_log(log.read_text())


def wait_for(word: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while word not in log.read_text():
        assert process.poll() is None, f"the writer ended before it said {word!r}, with code {process.returncode}"
        assert time.monotonic() < deadline, f"the writer did not say {word!r} within {START_TIMEOUT} s"
        time.sleep(0.002)


def read_log(text: str) -> Said:
    done: list[Step] = []
    interrupted: Step | None = None
    # A last line without its end was cut by the kill: whatever it announced has not been announced.
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "begin":
            interrupted = Step.from_json(rest)
        elif word == "done":
            assert interrupted is not None
            done.append(interrupted)
            interrupted = None
    return Said(READY in lines, done, interrupted)


def count(report: KillReport, said: Said) -> None:
    report.kills += 1
    report.acknowledged.update(step.operation for step in said.done)
    if not said.opened:
        report.opening += 1
    elif said.interrupted is not None:
        report.interrupted[said.interrupted.operation] += 1


def inspect(subject: Subject, state: State, said: Said, report: KillReport) -> State:
    """Check everything after a kill, run the interrupted step again, and check that it took effect."""
    try:
        for step in said.done:
            state = carry_out(state, step)
        state = verify(subject, state, said.interrupted, report)
        if said.interrupted is not None:
            subject.apply(said.interrupted)
            state = verify(subject, carry_out(state, said.interrupted), None, report)
        return state
    finally:
        subject.close()


def verify(subject: Subject, state: State, interrupted: Step | None, report: KillReport) -> State:
    """Prove that the index holds ``state``, or its outcome for what ``interrupted`` touched; returns which of the two.

    Every document is there whole, found by search and get, and its vectors are as they were written.
    """
    after = state if interrupted is None else carry_out(state, interrupted)
    touched = {} if interrupted is None else interrupted.outcome
    choices: dict[str, set[Version | None]] = {name: {version} for name, version in state.documents.items()}
    for name, version in touched.items():
        choices.setdefault(name, {None}).add(version)
    if not subject.store.exists:
        assert all(None in versions for versions in choices.values()), "the index is gone"
        return State(tokens=state.tokens)
    found = {rung: subject.search(rung) for rung in subject.rungs}
    documents = identify([content for _, content in next(iter(found.values()))], choices)
    if interrupted is not None and interrupted.operation == "take_id":
        shown = {name: documents.get(name) for name in touched}
        assert shown in ({name: state.documents.get(name) for name in touched}, touched), "an id is nobody's"
    expected = {
        page.content.id: page for name, version in documents.items() for page in subject.expected(name, version)
    }
    contents = {identifier: page.content for identifier, page in expected.items()}
    for rung, hits in found.items():
        assert sorted(content.id for _, content in hits) == sorted(expected), f"pages missing or twice at {rung}"
        for score, content in hits:
            assert content == contents[content.id], f"{content} at {rung} is not what was written"
            right = best_score(subject, expected[content.id], rung)
            assert abs(score - right) < SCORE_TOLERANCE, f"{content.id} scores {score}, not {right}, at {rung}"
        assert [score for score, _ in hits] == sorted((score for score, _ in hits), reverse=True)
    assert subject.get(list(expected)) == list(contents.values()), "get differs from what was written"
    compare_vectors(subject, expected, report)
    assert subject.heard() == set(expected), "words differ from what was written"
    windows = sum(len(page.vectors) for page in expected.values())
    assert subject.count("page") == windows, "points left over by killed writes"
    assert subject.count("document") == len(documents), "records left over by killed writes"
    tokens = subject.rungs[-1].document
    assert tokens in (state.tokens, after.tokens), f"{tokens} Meta Tokens answer, not {state.tokens} or {after.tokens}"
    calibration = subject.calibration()
    assert calibration in (state.calibration, after.calibration), f"{calibration} is not the calibration that was kept"
    report.pages += len(expected)
    return State(documents, tokens, calibration)


def identify(contents: list[Content], choices: Mapping[str, set[Version | None]]) -> dict[str, Version]:
    """Which version of each document is there; AssertionError if one is of no allowed version, or in part."""
    seen: dict[str, dict[int, list[int]]] = {}
    for content in contents:
        metadata = json.loads(content.metadata)
        seen.setdefault(metadata["name"], {}).setdefault(metadata["seed"], []).append(content.page)
    strangers = set(seen) - set(choices)
    assert not strangers, f"documents that nobody wrote, or that were deleted: {sorted(strangers)}"
    documents: dict[str, Version] = {}
    for name, versions in choices.items():
        shown = seen.get(name, {})
        assert len(shown) <= 1, f"{name} shows pages of several versions: {shown}"
        actual = next((Version(seed, tuple(sorted(pages))) for seed, pages in shown.items()), None)
        assert actual in versions, f"{name} is {actual}, which is none of {versions}"
        if actual is not None:
            documents[name] = actual
    return documents


def best_score(subject: Subject, page: Expected, rung: Budget) -> float:
    query = subject.query()[: rung.query]
    return float(np.einsum("qd,wkd->wqk", query, page.vectors[:, : rung.document]).max(axis=(0, 2)).sum())


def compare_vectors(subject: Subject, expected: Mapping[str, Expected], report: KillReport) -> None:
    stored = subject.vectors()
    assert stored.keys() == expected.keys(), "pages without vectors, or vectors without pages"
    for identifier, page in expected.items():
        windows = stored[identifier]
        assert sorted(windows) == list(range(len(page.vectors))), f"{identifier}: windows {sorted(windows)}"
        for window, vectors in windows.items():
            needed = {vector_name(rung.document) for rung in subject.rungs}
            assert vectors.keys() >= needed, f"{identifier}: vectors {sorted(vectors)}, not {sorted(needed)}"
            for name, rows in vectors.items():
                # A resize that was killed may have left some that no search uses yet; these must be right too.
                right = page.vectors[window, : int(name.removeprefix("meta_"))]
                assert rows.shape == right.shape, f"{identifier}: {name} is {rows.shape}, not {right.shape}"
                off = float(np.abs(rows - right).max())
                assert off <= subject.tolerance, f"{identifier}: {name} is off by {off}"
                report.vectors += len(rows)
