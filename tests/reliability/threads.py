"""Eight readers and two writers on one index: every answer must be one that some moment of the reading allows."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from metaembed_rag import LADDER, Budget, Hit, MetaEmbedIndex, Page
from metaembed_rag.ingest import page_id

from .cached_model import cached_model
from .dictionary import TOLERANCE, Dictionary

TEXTS = tuple(f"{word} number {n}" for n in range(6) for word in ("ferry", "coffee", "solar", "library"))
QUERIES = ("when does the boat leave?", "roasting beans")
#: Seconds between two switches of threads: a fiftieth of the default, so that they meet in the middle of everything.
SWITCH = 1e-4


@dataclass(frozen=True, slots=True)
class Version:
    """A document as it stood: None is gone. ``begun`` and ``done`` bound the moment at which it came to be."""

    number: int | None
    texts: tuple[str, ...]
    begun: float
    done: float


@dataclass
class Ledger:
    """What each document was, and when."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, name: str, number: int | None, texts: tuple[str, ...]) -> None:
        with self.lock:
            entry = Version(number, texts, time.monotonic(), float("inf"))
            self.versions.setdefault(name, [Version(None, (), 0.0, 0.0)]).append(entry)

    def done(self, name: str) -> None:
        with self.lock:
            last = self.versions[name][-1]
            self.versions[name][-1] = Version(last.number, last.texts, last.begun, time.monotonic())

    def allowed(self, name: str, start: float, end: float) -> list[Version]:
        """Versions that stood at some moment between ``start`` and ``end``."""
        with self.lock:
            history = list(self.versions.get(name, ()))
        followers: list[Version | None] = [*history[1:], None]
        return [
            version
            for version, follower in zip(history, followers, strict=True)
            if version.begun <= end and (follower is None or follower.done >= start)
        ]


@dataclass
class ThreadReport:
    """What was done, and every answer or error that must not be."""

    done: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    wrong: list[str] = field(default_factory=list)


class Drill:
    """One run; see ``run_threads``."""

    def __init__(self, index: MetaEmbedIndex, deadline: float) -> None:
        self.index = index
        self.deadline = deadline
        self.ledger = Ledger()
        self.truth = Dictionary(cached_model())
        self.report = ThreadReport()
        self.lock = threading.Lock()

    def guarded(self, work: Callable[[random.Random], str], seed: int) -> Callable[[], None]:
        def run() -> None:
            generator = random.Random(seed)
            while time.monotonic() < self.deadline and len(self.report.wrong) < 10:
                try:
                    what = work(generator)
                    with self.lock:
                        self.report.done[what] += 1
                except BaseException as error:  # noqa: BLE001 - whatever it is, it is what this drill looks for
                    with self.lock:
                        self.report.wrong.append(f"{type(error).__name__}: {error}")

        return run

    def writer(self, names: Sequence[str]) -> Callable[[random.Random], str]:
        numbers = iter(range(1, 1 << 30))

        def write(generator: random.Random) -> str:
            name, number = generator.choice(names), next(numbers)
            if generator.random() < 0.2:
                self.ledger.begin(name, None, ())
                self.index.delete(source=name)
                self.ledger.done(name)
                return "deletions"
            is_text = name.startswith("t")
            count = 1 if is_text else generator.randint(1, 5)
            texts = tuple(generator.choices(TEXTS, k=count))
            self.ledger.begin(name, number, texts)
            if is_text:
                self.index.add_texts(texts, ids=[name], metadatas=[{"source": name, "version": number}])
            else:
                pages = [Page(name, n, text, metadata={"version": number}) for n, text in enumerate(texts, 1)]
                self.index.add(pages, progress=False)
            self.ledger.done(name)
            return "writes"

        return write

    def read(self, generator: random.Random) -> str:
        names = sorted(self.ledger.versions)
        if not names:
            time.sleep(0.01)
            return "waits"
        kind = generator.randrange(3)
        wanted = names if kind == 0 else generator.sample(names, generator.randint(1, len(names)))
        start = time.monotonic()
        if kind < 2:
            query, budget = generator.choice(QUERIES), generator.choice(LADDER)
            # Documents written for the first time since are left out, by the filter if by nothing else.
            hits: Sequence[Hit] = self.index.search(query, budget=budget, top_k=1000, filter={"source": wanted})
            self.check(hits, wanted, start, time.monotonic())
            self.check_scores(hits, query, budget)
            return "searches"
        identifiers = [name if name.startswith("t") else page_id(name, n) for name in wanted for n in range(1, 6)]
        hits = self.index.get(list(dict.fromkeys(identifiers)))
        self.check(hits, wanted, start, time.monotonic())
        return "gets"

    def check(self, hits: Sequence[Hit], names: Sequence[str], start: float, end: float) -> None:
        seen: defaultdict[str, dict[int, Hit]] = defaultdict(dict)
        for hit in hits:
            assert hit.page not in seen[hit.source], f"{hit.source} page {hit.page} came twice"
            seen[hit.source][hit.page] = hit
        assert set(seen) <= set(names), f"{set(seen) - set(names)} were not asked for"
        for name in names:
            pages = seen.get(name, {})
            actual = {(hit.page, hit.text, hit.metadata["version"]) for hit in pages.values()}
            allowed = self.ledger.allowed(name, start, end)
            right = [{(n, text, v.number) for n, text in enumerate(v.texts, 1)} for v in allowed]
            assert actual in right, f"{name} is {actual}, allowed are {right}"
        with self.lock:
            self.report.documents += len(names)

    def check_scores(self, hits: Sequence[Hit], query: str, budget: Budget) -> None:
        for hit in hits:
            right = self.truth.score(query, budget, hit.text)
            assert abs(hit.score - right) < TOLERANCE, f"{hit.id} scores {hit.score}, not {right}"
        assert list(np.diff([hit.score for hit in hits]) > 0).count(True) == 0, "hits are not in order"


def run_threads(
    engine: Literal["edge", "local"], seconds: float, folder: Path, *, readers: int = 8, writers: int = 2
) -> ThreadReport:
    """Readers and writers on one index for so long; then everything is checked once more, and after reopening."""
    model = cached_model()
    model.encode_documents(TEXTS)
    model.encode_queries(QUERIES)
    with MetaEmbedIndex(folder / "index", engine=engine, model=model) as index:
        drill = Drill(index, time.monotonic() + seconds)
        work = [drill.writer([f"{kind}{n}" for n in range(w, 12, writers) for kind in "td"]) for w in range(writers)]
        work += [drill.read] * readers
        threads = [threading.Thread(target=drill.guarded(one, seed)) for seed, one in enumerate(work)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(seconds + 300)
                assert not thread.is_alive(), "a thread hangs"
        finally:
            sys.setswitchinterval(before)
        if drill.report.wrong:
            return drill.report
        check_all(drill)
    with MetaEmbedIndex(folder / "index", engine=engine, model=model) as index:
        drill.index = index
        check_all(drill)
    return drill.report


def check_all(drill: Drill) -> None:
    names = sorted(drill.ledger.versions)
    now = time.monotonic()
    hits = drill.index.search(QUERIES[0], top_k=1000)
    drill.check(hits, names, now, now)
    assert len(drill.index) == len(hits)
