"""What the writer does: a table of operations, each planned from what is there and announced before it is done.

To drill another operation, add a planner to ``OPERATIONS`` and a method of its name to ``Subject``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Documents of one page that share two sources, and documents of many pages that are sources of their own.
TEXTS = tuple(f"t{n}" for n in range(6))
BOOKS = tuple(f"d{n}" for n in range(6))
NAMES = TEXTS + BOOKS
#: What an index may be resized to; two, so that half of all resizes widen.
TOKENS = (16, 64)


@dataclass(frozen=True, slots=True)
class Version:
    """A document as it stands: its seed tells every text and vector, ``pages`` which are left of it."""

    seed: int
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class State:
    """An index as it stands.

    Attributes:
        documents: by name.
        tokens: document Meta Tokens stored at most.
        calibration: which one was kept last; None is none.
    """

    documents: Mapping[str, Version] = field(default_factory=dict)
    tokens: int = 64
    calibration: int | None = None

    def to_json(self) -> str:
        documents = {name: [version.seed, list(version.pages)] for name, version in self.documents.items()}
        return json.dumps([documents, self.tokens, self.calibration])

    @classmethod
    def from_json(cls, text: str) -> State:
        documents, tokens, calibration = json.loads(text)
        return cls(
            {name: Version(seed, tuple(pages)) for name, (seed, pages) in documents.items()}, tokens, calibration
        )


@dataclass(frozen=True, slots=True)
class Step:
    """An operation to be carried out.

    Attributes:
        operation: its name in the table.
        outcome: what each document that it touches becomes; None where it goes.
        arguments: what else the operation needs.
    """

    operation: str
    outcome: Mapping[str, Version | None] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        outcome = {
            name: None if version is None else [version.seed, list(version.pages)]
            for name, version in self.outcome.items()
        }
        return json.dumps({"operation": self.operation, "outcome": outcome, "arguments": dict(self.arguments)})

    @classmethod
    def from_json(cls, text: str) -> Step:
        content = json.loads(text)
        outcome = {
            name: None if value is None else Version(value[0], tuple(value[1]))
            for name, value in content["outcome"].items()
        }
        return cls(content["operation"], outcome, content["arguments"])


@dataclass(frozen=True, slots=True)
class Operation:
    """How often an operation comes up, and how one is planned; None where nothing is there to work on.

    The plan is made from the state, with books of at most so many pages.
    """

    weight: int
    plan: Callable[[random.Random, State, int], Step | None]


def source_of(name: str) -> str:
    return f"shared{int(name[1:]) % 2}" if name in TEXTS else book_of(name)[0]


def is_text(name: str) -> bool:
    return name in TEXTS or book_of(name)[1] is not None


def book_of(name: str) -> tuple[str, int | None]:
    """A book, and which of its pages' ids a text took, whose name is then "d2.7"."""
    book, _, page = name.partition(".")
    return book, int(page) if page else None


def new_version(generator: random.Random, name: str, longest: int) -> Version:
    # One book in eight may be as long as is allowed.
    most = 1 if is_text(name) else longest if generator.random() < 0.125 else min(longest, 12)
    return Version(generator.randrange(1 << 30), tuple(range(1, generator.randint(1, most) + 1)))


def plan_add(generator: random.Random, state: State, longest: int) -> Step | None:
    absent = [name for name in NAMES if name not in state.documents]
    if not absent:
        return None
    name = generator.choice(absent)
    return Step("add", {name: new_version(generator, name, longest)})


def plan_replace(generator: random.Random, state: State, longest: int) -> Step | None:
    if not state.documents:
        return None
    name = generator.choice(sorted(state.documents))
    return Step("replace", {name: new_version(generator, name, longest)})


def plan_write_many(generator: random.Random, state: State, longest: int) -> Step:
    names = generator.sample(NAMES, generator.randint(2, 5))
    return Step("write_many", {name: new_version(generator, name, longest) for name in names})


def plan_take_id(generator: random.Random, state: State, longest: int) -> Step | None:
    """A text under the id of a book's page, which then goes."""
    books = [name for name in state.documents if not is_text(name)]
    if not books:
        return None
    book = generator.choice(sorted(books))
    version = state.documents[book]
    page = generator.choice(version.pages)
    left = tuple(number for number in version.pages if number != page)
    text = f"{book}.{page}"
    return Step("take_id", {text: new_version(generator, text, 1), book: Version(version.seed, left) if left else None})


def plan_delete_source(generator: random.Random, state: State, longest: int) -> Step | None:
    if not state.documents:
        return None
    source = source_of(generator.choice(sorted(state.documents)))
    gone = [name for name in state.documents if source_of(name) == source]
    return Step("delete_source", dict.fromkeys(gone), {"source": source})


def plan_delete_pages(generator: random.Random, state: State, longest: int) -> Step | None:
    """Some pages of some documents, by id."""
    if not state.documents:
        return None
    outcome: dict[str, Version | None] = {}
    pages: dict[str, list[int]] = {}
    for name in generator.sample(sorted(state.documents), min(len(state.documents), generator.randint(1, 3))):
        version = state.documents[name]
        pages[name] = sorted(generator.sample(version.pages, generator.randint(1, len(version.pages))))
        left = tuple(page for page in version.pages if page not in pages[name])
        outcome[name] = Version(version.seed, left) if left else None
    return Step("delete_pages", outcome, {"pages": pages})


def plan_resize(generator: random.Random, state: State, longest: int) -> Step:
    """Fewer or more Meta Tokens."""
    return Step("resize", {}, {"tokens": generator.choice([tokens for tokens in TOKENS if tokens != state.tokens])})


def plan_calibrate(generator: random.Random, state: State, longest: int) -> Step | None:
    return Step("calibrate", {}, {"calibration": generator.randint(1, 4)}) if state.documents else None


def plan_settle(generator: random.Random, state: State, longest: int) -> Step:
    return Step("settle")


def plan_reopen(generator: random.Random, state: State, longest: int) -> Step:
    return Step("reopen")


OPERATIONS: dict[str, Operation] = {
    "add": Operation(4, plan_add),
    "replace": Operation(6, plan_replace),
    "write_many": Operation(4, plan_write_many),
    "take_id": Operation(3, plan_take_id),
    "delete_source": Operation(3, plan_delete_source),
    "delete_pages": Operation(4, plan_delete_pages),
    "resize": Operation(2, plan_resize),
    "calibrate": Operation(2, plan_calibrate),
    "settle": Operation(2, plan_settle),
    "reopen": Operation(1, plan_reopen),
}


def plan_step(generator: random.Random, state: State, longest: int, focus: str) -> Step:
    """The next step: ``focus`` half of the time, else by weight; books have at most ``longest`` pages."""
    names, weights = zip(*((name, operation.weight) for name, operation in OPERATIONS.items()), strict=True)
    while True:
        name = focus if generator.random() < 0.5 else generator.choices(names, weights)[0]
        step = OPERATIONS[name].plan(generator, state, longest)
        if step is not None:
            return replace(step, outcome={**step.outcome, **_ousted(state, step)})


def _ousted(state: State, step: Step) -> dict[str, None]:
    """Texts whose ids the pages of books take back."""
    books = {name: version for name, version in step.outcome.items() if version is not None and not is_text(name)}
    back = (f"{name}.{page}" for name, version in books.items() for page in version.pages)
    return {text: None for text in back if text in state.documents}


def carry_out(state: State, step: Step) -> State:
    """The state after a step."""
    documents = {**state.documents, **step.outcome}
    return State(
        {name: version for name, version in documents.items() if version is not None},
        step.arguments.get("tokens", state.tokens),
        step.arguments.get("calibration", state.calibration),
    )
