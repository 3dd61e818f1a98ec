"""The index's own methods: arbitrary values for every argument."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from metaembed_rag import MetaEmbedIndex, Page

from ..cached_model import cached_model
from .filters import draw_filter
from .hostile import hostile_text, hostile_value
from .target import Target, Unsound


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
                raise Unsound("the index has lost a page")


def maybe(generator: random.Random, sound: Any) -> Any:
    return sound if generator.random() < 0.6 else hostile_value(generator)


def _add_texts(generator: random.Random, index: MetaEmbedIndex) -> None:
    text = hostile_text(generator) if generator.random() < 0.5 else "one"
    identifier = hostile_text(generator)
    metadata = maybe(generator, {"key": hostile_value(generator)})
    given = (maybe(generator, [text]), maybe(generator, [identifier]), maybe(generator, [metadata]))
    index.add_texts(*given)
    if given[:2] == ([text], [identifier]):
        (hit,) = index.get([identifier])
        if hit.text != text or (given[2] == [metadata] and metadata is not None and hit.metadata != metadata):
            raise Unsound(f"{given} is kept as {hit}")


def _add(generator: random.Random, index: MetaEmbedIndex) -> None:
    page = Page(
        source=maybe(generator, "a.pdf"),
        number=maybe(generator, generator.randint(1, 3)),
        text=maybe(generator, "one"),
        metadata=maybe(generator, {}),
    )
    documents = maybe(generator, [page])
    if isinstance(documents, (str, list, tuple)) and not all(isinstance(entry, Page) for entry in documents):
        documents = ["/nonexistent/" + str(entry) for entry in documents]  # never a real file of this machine
    index.add(documents, metadata=maybe(generator, None), ocr=maybe(generator, "never"), progress=False)


def _search(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.search(
        maybe(generator, "one"),
        budget=maybe(generator, generator.choice((1, "full", (4, 64)))),
        top_k=maybe(generator, 5),
        filter=draw_filter(generator) if generator.random() < 0.5 else None,
    )


def _delete(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.delete(maybe(generator, ["2"]), source=maybe(generator, None))


def _get(generator: random.Random, index: MetaEmbedIndex) -> None:
    index.get(maybe(generator, ["1", hostile_text(generator)]))


_CALLS: tuple[Callable[[random.Random, MetaEmbedIndex], None], ...] = (
    _add_texts,
    _add_texts,
    _add,
    _search,
    _search,
    _delete,
    _get,
)
