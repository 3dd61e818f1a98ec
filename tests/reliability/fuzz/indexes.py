"""Index folders: a sound one of each engine, with files that somebody damaged."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from metaembed_rag.store.filters import Filter

from ..kills.operations import Version
from ..kills.subject import EngineName, StoreSubject
from .hostile import mutate
from .target import Target

_DOCUMENTS = {"d0": Version(1, (1, 2, 3)), "t0": Version(2, (1,)), "t1": Version(3, (1,))}


class Indexes(Target):
    """A damaged folder opens and reads, or is refused. What it holds is not judged: no checksum covers it."""

    engine: EngineName

    def prepare(self) -> None:
        self.sound = self.folder / "sound"
        subject = StoreSubject(self.sound, self.engine)
        subject.write(_DOCUMENTS)
        subject.close()
        self.files = sorted(path.relative_to(self.sound) for path in self.sound.rglob("*") if path.is_file())
        self.corpus = [(self.sound / file).read_bytes()[: 64 << 10] for file in self.files]

    def run(self, generator: random.Random) -> None:
        damaged = self.folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(self.sound, damaged)
        for file in generator.sample(self.files, generator.choice((1, 1, 1, 3))):
            self.damage(generator, damaged / file)
        subject = StoreSubject(damaged, self.engine)
        try:
            for rung in subject.rungs:
                subject.search(rung)
            ids = [payload["id"] for _, payload in subject.store._engine.scroll(Filter()) if "id" in payload]
            subject.get(ids)
            subject.store.info()
            subject.write({"d1": Version(4, (1,))})
        finally:
            subject.close()

    def damage(self, generator: random.Random, path: Path) -> None:
        kind = generator.randrange(10)
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.write_bytes(b"")
        elif kind == 2:
            path.unlink()
            path.mkdir()
        else:
            # Large files are mostly room that is not used yet; the first part holds what there is.
            data = path.read_bytes()
            head = 64 << 10
            path.write_bytes(mutate(generator, data[:head], self.corpus) + data[head:])


class EdgeIndexes(Indexes):
    """Folders of the embedded engine."""

    engine = "edge"


class LocalIndexes(Indexes):
    """Folders of the client's local mode."""

    engine = "local"
