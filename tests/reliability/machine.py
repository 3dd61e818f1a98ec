"""A state machine: hypothesis calls the index's methods in any order, and a dictionary says what must come out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from metaembed_rag import LADDER, Budget, MetaEmbedIndex, Page
from metaembed_rag.errors import MetaEmbedError
from metaembed_rag.ingest import page_id, text_id

from .cached_model import cached_model
from .dictionary import Dictionary, Entry, Predicate

_LONG = " ".join(f"Paragraph {n} is about gravel, sand and the ferry." for n in range(60))
TEXTS = (
    "The first ferry leaves at six.",
    "There is no ferry in winter.",
    "Beans are roasted at 210 degrees.",
    "Total revenue in 2019 was 4 million.",
    "The library has nine floors.",
    "",
    " ",
    "ferry",
    "Ferry!",
    "日本語の文章, ä ö ü",
    "<b>bold</b> & more",
    _LONG,
    f"The lighthouse keeper is called Ansgar. {_LONG}",
)
QUERIES = ("when does the boat leave?", "revenue", "lighthouse keeper")
IDS = ("1", "2", "3", "a b", "ü", "../x")
SOURCES = ("a.pdf", "b c.md", "ü")
BUDGETS = (*LADDER, Budget(1, 64), Budget(4, 64))

texts = st.sampled_from(TEXTS)
ids = st.sampled_from(IDS)
sources = st.sampled_from(SOURCES)
years = st.integers(2018, 2021)
tags = st.sampled_from(["x", "y", 'x" OR 1=1'])
metadata = st.fixed_dictionaries(
    {}, optional={"year": years, "draft": st.booleans(), "tag": st.one_of(tags, st.none(), st.lists(tags, max_size=2))}
)


class Condition(NamedTuple):
    """A filter as it is passed, and what it means."""

    filter: Mapping[str, Any] | None
    holds: Predicate


def _tags(entry: Entry) -> list[Any]:
    value = entry.metadata.get("tag")
    return value if isinstance(value, list) else [] if value is None else [value]


_simple = st.one_of(
    st.just(Condition(None, lambda _: True)),
    st.builds(lambda s: Condition({"source": s}, lambda e: e.source == s), sources),
    st.builds(lambda s: Condition({"source": list(s)}, lambda e: e.source in s), st.lists(sources, max_size=2)),
    st.builds(lambda i: Condition({"id": i}, lambda e: e.id == i), ids),
    st.builds(lambda n: Condition({"page": {"lte": n}}, lambda e: e.page <= n), st.integers(0, 4)),
    st.builds(lambda y: Condition({"year": y}, lambda e: e.metadata.get("year") == y), years),
    st.builds(lambda y: Condition({"year": {"gte": y}}, lambda e: e.metadata.get("year", 0) >= y), years),
    st.builds(lambda y: Condition({"metadata.year": {"not_in": [y]}}, lambda e: e.metadata.get("year") != y), years),
    st.just(Condition({"year": None}, lambda e: "year" not in e.metadata)),
    st.builds(lambda b: Condition({"draft": b}, lambda e: e.metadata.get("draft") is b), st.booleans()),
    st.builds(lambda t: Condition({"tag": t}, lambda e: t in _tags(e)), tags),
    st.builds(lambda t: Condition({"tag": {"not": t}}, lambda e: t not in _tags(e)), tags),
    st.builds(lambda b: Condition({"tag": {"exists": b}}, lambda e: bool(_tags(e)) is b), st.booleans()),
)
conditions = st.recursive(
    _simple,
    lambda inner: st.one_of(
        st.builds(lambda a: Condition({"not": a.filter or {"page": {"gt": 0}}}, lambda e: not a.holds(e)), inner),
        st.builds(
            lambda a, b: Condition({"and": [a.filter, b.filter]}, lambda e: a.holds(e) and b.holds(e)), inner, inner
        ),
        st.builds(
            lambda a, b: Condition(
                {"or": [a.filter or {"page": {"gt": 0}}, b.filter or {"page": {"gt": 0}}]},
                lambda e: a.holds(e) or b.holds(e),
            ),
            inner,
            inner,
        ),
    ),
    max_leaves=3,
)


class IndexMachine(RuleBasedStateMachine):
    """One sequence: an index that is written, read, reopened and settled, beside its dictionary."""

    engine: Literal["edge", "local"] = "edge"
    #: Sequences and steps of this process, for the report.
    sequences = 0
    steps = 0

    @initialize()
    def begin(self) -> None:
        self.room = tempfile.TemporaryDirectory(prefix="metaembed-machine-")
        self.path = Path(self.room.name) / "index"
        self.truth = Dictionary(cached_model())
        self.open()
        type(self).sequences += 1

    def open(self) -> None:
        self.index = MetaEmbedIndex(self.path, engine=self.engine, model=cached_model())

    def teardown(self) -> None:
        if hasattr(self, "room"):
            self.index.close()
            self.room.cleanup()

    @rule(entries=st.lists(st.tuples(ids, texts, metadata), min_size=1, max_size=4, unique_by=lambda entry: entry[0]))
    def add_texts(self, entries: list[tuple[str, str, dict[str, Any]]]) -> None:
        names, contents, metas = (list(column) for column in zip(*entries, strict=True))
        assert self.index.add_texts(contents, ids=names, metadatas=metas) == names
        self.truth.add_texts(contents, names, metas)

    @rule(text=texts, source=sources, meta=metadata)
    def add_text_of_a_source(self, text: str, source: str, meta: dict[str, Any]) -> None:
        meta = {**meta, "source": source}
        (identifier,) = self.index.add_texts([text], metadatas=[meta])
        assert identifier == text_id(text, meta)
        self.truth.add_texts([text], [identifier], [meta])

    @rule(
        source=sources,
        pages=st.dictionaries(st.integers(1, 5), st.tuples(texts, metadata), min_size=1, max_size=4),
        other=st.none() | st.tuples(sources, texts),
    )
    def add_pages(self, source: str, pages: dict[int, Any], other: tuple[str, str] | None) -> None:
        made = [Page(source, number, text, metadata=meta) for number, (text, meta) in pages.items()]
        if other is not None and other[0] != source:
            made.append(Page(other[0], 1, other[1]))
        assert self.index.add(made, progress=False) == [page_id(page.source, page.number) for page in made]
        self.truth.add(made)

    @rule(text=texts, source=sources, number=st.integers(1, 5), meta=metadata)
    def write_a_page_back(self, text: str, source: str, number: int, meta: dict[str, Any]) -> None:
        name = page_id(source, number)
        assert self.index.add_texts([text], ids=[name], metadatas=[meta]) == [name]
        self.truth.add_texts([text], [name], [meta])

    @rule(text=texts, name=ids)
    def refused_texts_change_nothing(self, text: str, name: str) -> None:
        with pytest.raises(MetaEmbedError):
            self.index.add_texts([text, None], ids=[name, "other"])  # type: ignore[list-item]

    @rule(data=st.data())
    def delete_ids(self, data: st.DataObject) -> None:
        there = st.sampled_from(sorted(self.truth.pages)) if self.truth.pages else ids
        names = data.draw(st.lists(there | ids, max_size=3))
        assert self.index.delete(names) == self.truth.delete(names)

    @rule(source=sources)
    def delete_source(self, source: str) -> None:
        assert self.index.delete(source=source) == self.truth.delete(source=source)

    @rule(
        query=st.sampled_from(QUERIES),
        budget=st.sampled_from(BUDGETS),
        top_k=st.sampled_from([1, 3, 100]),
        condition=conditions,
    )
    def search(self, query: str, budget: Budget, top_k: int, condition: Condition) -> None:
        hits = self.index.search(query, budget=budget, top_k=top_k, filter=condition.filter)
        self.truth.check_hits(hits, query, budget, top_k, condition.holds)

    @rule(names=st.lists(ids, max_size=4))
    def get(self, names: list[str]) -> None:
        wanted = [name for name in names if name in self.truth.pages]
        hits = self.index.get(names)
        assert [hit.id for hit in hits] == wanted
        assert all(self.truth.pages[hit.id].is_like(hit) for hit in hits)

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.open()

    @rule()
    def settle(self) -> None:
        if self.index._store.exists:
            self.index._store._changed = 1 << 30  # as if enough had changed
            self.index._store.settle()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "room"):
            return
        type(self).steps += 1
        info = self.index.info()
        assert len(self.index) == info["pages"] == len(self.truth.pages)
        assert info["documents"] == len({entry.document for entry in self.truth.pages.values()})
        assert self.index.sources() == sorted({entry.source for entry in self.truth.pages.values()})


def run_machine(engine: Literal["edge", "local"], sequences: int, *, steps: int = 20) -> tuple[int, int]:
    """Run so many sequences of at most so many steps; returns how many of each there were.

    A failing sequence is shrunk to the shortest one that fails, and printed as the program that it is.
    """
    machine = type(f"{engine.capitalize()}Machine", (IndexMachine,), {"engine": engine, "sequences": 0, "steps": 0})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.sequences, machine.steps  # type: ignore[attr-defined]
