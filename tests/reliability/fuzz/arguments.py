"""The index's own methods: hostile texts, ids, sources, metadata, budgets and filters."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from metaembed_rag import MetaEmbedIndex, Page

from ..cached_model import cached_model
from .filters import draw_filter
from .hostile import hostile_key, hostile_text, hostile_value
from .target import Target, UnsoundError


class Arguments(Target):
    """Whatever is passed, the index stays sound: what it took is found as it was given."""

    megabytes = 2048

    def prepare(self) -> None:
        self.model = cached_model()
        self.indexes = [MetaEmbedIndex(self.folder / name, engine=name, model=self.model) for name in ("edge", "local")]
        for index in self.indexes:
            index.add_texts(["one", "two"], ids=["1", "2"])

    def run(self, generator: random.Random) -> None:
        index = generator.choice(self.indexes)
        try:
            generator.choice(_CALLS)(generator, index)
        finally:
            if len(index) > 200:
                for source in index.sources():
                    index.delete(source=source)
            index.add_texts(["one"], ids=["1"])
            if [hit.text for hit in index.get(["1"])] != ["one"]:
                raise UnsoundError("the index has lost a page")


def maybe(generator: random.Random, sound: Any) -> Any:
    return sound if generator.random() < 0.6 else hostile_value(generator)


def draw_metadata(generator: random.Random) -> Any:
    return {hostile_key(generator): hostile_value(generator) for _ in range(generator.choice((0, 1, 1, 3)))}


def _add_texts(generator: random.Random, index: MetaEmbedIndex) -> None:
    text, identifier = maybe(generator, hostile_text(generator)), maybe(generator, hostile_text(generator))
    metadata = draw_metadata(generator)
    index.add_texts([text], ids=[identifier], metadatas=[metadata])
    if identifier is not None:
        (hit,) = index.get([identifier])
        if hit.text != text or dict(hit.metadata) != as_json(metadata):
            raise UnsoundError(f"{text!r} with {metadata!r} is kept as {hit}")


def as_json(metadata: Any) -> Any:
    """What JSON makes of a value: tuples become lists, keys become texts."""
    return json.loads(json.dumps(metadata))


def _add(generator: random.Random, index: MetaEmbedIndex) -> None:
    text = generator.choice(("one", hostile_text(generator)[:200]))
    page = Page(hostile_text(generator), generator.randint(1, 3), text, metadata=draw_metadata(generator))
    index.add([page], metadata=draw_metadata(generator), ocr=maybe(generator, "never"), progress=False)


def _add_path(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.add([f"absent/{hostile_text(generator)}"], progress=False)


def _search(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.search(
        maybe(generator, "one"),
        budget=maybe(generator, generator.choice((1, "full", (4, 64)))),
        top_k=maybe(generator, 5),
        filter=draw_filter(generator) if generator.random() < 0.5 else None,
    )


def _delete(generator: random.Random, index: MetaEmbedIndex) -> None:
    if generator.random() < 0.5:
        index.delete(["2", maybe(generator, hostile_text(generator))])
    else:
        index.delete(source=maybe(generator, hostile_text(generator)))


def _get(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.get(["1", maybe(generator, hostile_text(generator))])


_CALLS: tuple[Callable[[random.Random, MetaEmbedIndex], None], ...] = (
    _add_texts,
    _add_texts,
    _add,
    _add_path,
    _search,
    _search,
    _delete,
    _get,
)
