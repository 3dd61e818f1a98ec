"""Package descriptions: the synopsis is the query, the long description the answer."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sources.pair import Pair, clip, similar, squeeze, unique

SHORTEST = 200
LONGEST = 2500


def read_debian(lists: Path, seed: int) -> list[Pair]:
    """Pairs from every ``*Translation-en*`` file below ``lists`` (plain, gz, xz, bz2 or lz4).

    Descriptions that open with the same 150 characters (a program and its data or development package) are
    one description: the first by package name is kept.

    Raises:
        FileNotFoundError: there is no such file; ``apt-get update -o Acquire::Languages=en`` fetches them.
    """
    files = sorted(path for path in lists.rglob("*Translation-en*") if path.is_file())
    if not files:
        raise FileNotFoundError(
            f"no *Translation-en* file below {lists}: fetch them with apt-get update -o Acquire::Languages=en"
        )
    entries = sorted({entry for file in files for entry in _entries(_text(file))})
    openings: set[str] = set()
    kept = []
    for name, synopsis, description in entries:
        opening = description[:150].lower()
        if len(description) >= SHORTEST and synopsis and opening not in openings:
            openings.add(opening)
            kept.append((name, synopsis, clip(description, LONGEST)))
    texts = [description for _, _, description in kept]
    negatives = similar(
        [f"{synopsis} {text}" for _, synopsis, text in kept],
        texts,
        random.Random(seed),
        groups=[_stem(name) for name, _, _ in kept],
        profile_cap=0.6,
        text_cap=0.5,
    )
    return unique(
        (
            Pair(synopsis, text, None if other is None else texts[other], "debian/synopsis")
            for (_, synopsis, text), other in zip(kept, negatives, strict=True)
        ),
        shortest_query=1,
    )


def _stem(name: str) -> str:
    """The part of a package name that its siblings share."""
    return name.removeprefix("lib").removeprefix("python3-").split("-")[0].rstrip("0123456789.")


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    for stanza in text.split("\n\n"):
        name = synopsis = ""
        lines: list[str] = []
        inside = False
        for line in stanza.splitlines():
            if line.startswith("Package: "):
                name = line[9:].strip()
            elif line.startswith("Description-en: "):
                synopsis, inside = squeeze(line[16:]), True
            elif inside and line.startswith(" "):
                lines.append("" if line.strip() == "." else line)
            else:
                inside = False
        if name:
            yield name, synopsis, squeeze(" ".join(lines))


def _text(path: Path) -> str:
    readers = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress, ".lz4": _lz4}
    data = path.read_bytes()
    return readers.get(path.suffix, bytes)(data).decode("utf-8", errors="replace")


def _lz4(data: bytes) -> bytes:
    program = shutil.which("lz4")
    if program is None:
        raise FileNotFoundError("the package lists are lz4 files: install the lz4 command (apt-get install lz4)")
    return subprocess.run([program, "-dc"], input=data, capture_output=True, check=True).stdout
