"""Filters: arbitrary values into ``parse_filter``, and what it lets through into the engines."""

from __future__ import annotations

import random
from typing import Any

from metaembed_rag.budget import Budget
from metaembed_rag.errors import StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter, parse_filter

from ..kills.operations import Version
from ..kills.subject import StoreSubject
from .hostile import hostile_key, hostile_value
from .target import Target, UnsoundError

_KEYS = ("id", "source", "page", "name", "seed", "even", "nested.tags", "nested.none", "metadata.name")
_OPERATORS = ("gt", "gte", "lt", "lte", "in", "not_in", "not", "exists")


class Filters(Target):
    """A filter that is taken runs on both engines, which must agree, and must find nothing that is not there."""

    def prepare(self) -> None:
        self.subjects = [StoreSubject(self.folder / "edge", "edge"), StoreSubject(self.folder / "local", "local")]
        documents = {"d0": Version(1, (1, 2, 3)), "t0": Version(2, (1,)), "t1": Version(3, (1,))}
        for subject in self.subjects:
            subject.write(documents)
        self.pages = {
            page.content.id for name, version in documents.items() for page in subject.expected(name, version)
        }
        self.stages = build_stages(Plan(Budget(1, 1)), subject.query())

    def run(self, generator: random.Random) -> None:
        condition = parse_filter(draw_filter(generator))
        if not isinstance(condition, Filter):
            raise UnsoundError(f"parse_filter gave {condition!r}")
        found = []
        for subject in self.subjects:
            try:
                hits = subject.store.search(self.stages, condition, 10)
            except StoreError as error:
                raise UnsoundError(f"the {subject.engine} engine did not take what parse_filter let through") from error
            found.append(sorted(hit.payload["id"] for hit in hits))
            if not set(found[-1]) <= self.pages:
                raise UnsoundError(f"found {found[-1]}")
        if found[0] != found[1]:
            raise UnsoundError(f"edge found {found[0]}, local {found[1]} by {condition}")


def draw_filter(generator: random.Random, depth: int = 3) -> Any:
    """Often nearly right, so that values get past the first check; sometimes anything at all."""
    kind = generator.randrange(6 if depth else 4)
    if kind == 0:
        return hostile_value(generator)
    if kind == 4:
        return {
            generator.choice(("and", "or")): [
                draw_filter(generator, depth - 1) for _ in range(generator.choice((0, 1, 2)))
            ]
        }
    if kind == 5:
        return {"not": draw_filter(generator, depth - 1)}
    key = hostile_key(generator) if generator.random() < 0.3 else generator.choice(_KEYS)
    if kind == 1:
        return {key: hostile_value(generator)}
    operators = generator.sample(_OPERATORS, generator.choice((1, 1, 2)))
    return {key: {operator: hostile_value(generator, 1) for operator in operators}}
