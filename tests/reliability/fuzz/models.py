"""Model folders: a config, an adapter and a projection, of which at least one is hostile."""

from __future__ import annotations

import json
import random
import shutil
import struct
from typing import Any

from metaembed_rag import MetaEmbed
from metaembed_rag.embedding.model import PRETRAINED

from .hostile import FLOATS, NUMBERS, WORDS, hostile_value, mutate
from .target import Target, UnsoundError


class Models(Target):
    """A folder as somebody sends it. One that loads must embed."""

    seconds = 60.0
    megabytes = 3072

    def prepare(self) -> None:
        mini = PRETRAINED / "mini"
        files = sorted(path for path in mini.rglob("*") if path.is_file())
        self.files = {path.relative_to(mini).as_posix(): path.read_bytes() for path in files}
        self.corpus = [data[: 64 << 10] for data in self.files.values()]

    def run(self, generator: random.Random) -> None:
        model = self.folder / "model"
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir()
        for name, data in self.files.items():
            (model / name).parent.mkdir(exist_ok=True)
            (model / name).write_bytes(data)
        name = generator.choice([name for name in self.files if name != "README.md"])
        if generator.random() < 0.05:
            (model / name).unlink()
        else:
            (model / name).write_bytes(self.damage(generator, name))
        loaded = MetaEmbed.from_pretrained(model, device="cpu")
        rows = loaded.encode_documents(["ferry"])
        if rows.shape != (1, loaded.document_tokens, loaded.dim):
            raise UnsoundError(f"an embedding of {rows.shape}")
        if not loaded.windows("ferry " * 600):
            raise UnsoundError("no windows")

    def damage(self, generator: random.Random, name: str) -> bytes:
        data = self.files[name]
        if name.endswith(".json") and generator.random() < 0.8:
            content = json.loads(data)
            for _ in range(generator.choice((1, 1, 3))):
                change(generator, content)
            return json.dumps(content, default=str).encode("utf-8", "surrogatepass")
        if name.endswith(".safetensors") and generator.random() < 0.6:
            return self.damage_header(generator, data)
        return mutate(generator, data, self.corpus)

    def damage_header(self, generator: random.Random, data: bytes) -> bytes:
        """A safetensors file whose header is valid JSON and lies."""
        (length,) = struct.unpack_from("<Q", data)
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        change(generator, generator.choice([header, *[value for value in header.values() if isinstance(value, dict)]]))
        text = json.dumps(header, default=str).encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(text)) + text + body


def change(generator: random.Random, content: dict[str, Any]) -> None:
    """One entry gets another value, another name, or goes."""
    if not content:
        return
    key = generator.choice(sorted(content))
    kind = generator.randrange(6)
    if kind == 0:
        del content[key]
    elif kind == 1:
        content[generator.choice(WORDS)] = content.pop(key)
    elif kind in (2, 3):
        content[key] = generator.choice((*NUMBERS, *FLOATS, *WORDS, None, True, [], {}))
    elif kind == 4:
        value = hostile_value(generator, 2)
        try:
            json.dumps(value, default=str)
        except (TypeError, ValueError, RecursionError):
            value = [[[]]]
        content[key] = value
    elif isinstance(content[key], dict):
        change(generator, content[key])
