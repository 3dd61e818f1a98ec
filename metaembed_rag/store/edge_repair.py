"""An embedded index that was killed while a named vector was made or dropped: its files are brought to agree again.

qdrant-edge-py 0.9 writes the list of vectors to each segment and then to the shard's own config, and refuses to load
a shard whose lists differ. A vector that only some of them name was on its way in or out, so it is taken out of all;
the index record knows which of the two it was, and the store goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG_FILE = "edge_config.json"
_SEGMENT_FILE = "segment.json"


def make_vectors_agree(folder: Path) -> bool:
    """Take vectors out of the files of ``folder`` that not all of them name.

    Returns:
        whether anything was changed; False too where another process has the index open, or where locks on folders
        are not to be had.
    """
    with locked(folder / "wal") as free:
        if not free:
            return False
        config = _read(folder / CONFIG_FILE)
        segments = {path.parent: _read(path) for path in sorted(folder.glob(f"segments/*/{_SEGMENT_FILE}"))}
        named = [set(config["vectors"]), *(set(segment["config"]["vector_data"]) for segment in segments.values())]
        strays = set.union(*named) - set.intersection(*named)
        if not strays:
            return False
        # Segments first: killed in between, the lists still differ and this is done again.
        for place, segment in segments.items():
            if strays & set(segment["config"]["vector_data"]):
                segment["config"]["vector_data"] = _without(segment["config"]["vector_data"], strays)
                _write(place / _SEGMENT_FILE, segment)
            for name in strays:
                for left in place.glob(f"*-{name}"):
                    shutil.rmtree(left, ignore_errors=True)
        config["vectors"] = _without(config["vectors"], strays)
        _write(folder / CONFIG_FILE, config)
        return True


def _without(vectors: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in vectors.items() if name not in names}


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    """In one step: a kill leaves the old file or the new one."""
    building = path.with_name(f"{path.name}.building")
    with building.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    building.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock that the engine itself holds while an index is open; False if it is taken."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
