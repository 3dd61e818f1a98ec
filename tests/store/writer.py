"""A process to be killed: writes, replaces and deletes documents for ever and acknowledges each on stdout.

Usage: writer.py FOLDER ENGINE SEED
"""

from __future__ import annotations

import random
import sys

from metaembed_rag.store.open import open_engine
from metaembed_rag.store.schema import Schema
from metaembed_rag.store.store import Store
from tests.store.conftest import DIM, document


def main(folder: str, engine: str, seed: int) -> None:
    store = Store(open_engine(path=folder, url=None, collection="c", engine=engine))  # type: ignore[arg-type]
    if not store.exists:
        store.create(Schema(dim=DIM), model="fingerprint", model_name="test")
    generator = random.Random(seed)
    say("ready")
    for step in range(10_000):
        name = f"d{generator.randrange(8)}"
        if generator.random() < 0.2:
            say(f"begin {name} gone 0")
            store.delete_source(name)
            say(f"done {name} gone 0")
            continue
        version, pages = f"{seed}.{step}", generator.randint(1, 12)
        say(f"begin {name} {version} {pages}")
        store.write([document(name, pages, digest=version, windows=2, seed=step, version=version)])
        say(f"done {name} {version} {pages}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
