"""Training pairs from JSONL files: query, positive, and exactly one hard negative each."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from metaembed_rag.errors import InputError
from metaembed_rag.training.samples import check_image

logger = logging.getLogger(__name__)

#: A text, or ``{"text": str | None, "image": path | None}``.
Sample: TypeAlias = "str | dict[str, str | None]"
MissingNegative = Literal["drop", "random"]
#: What may teach the pairs of a source beside their labels; see ``Source``.
Teacher = Literal["backbone", "widest", "start"]

#: The samples of a line, in the order of ``samples``.
COLUMNS = ("query", "positive", "negative")
#: Key of the first line of a mined file, which says how it was made.
HEADER = "metaembed_mined"


class Place(TypedDict, total=False):
    """Where a line's texts stand, if that is known.

    Attributes:
        document: what the positive is a page of, see ``Source.per_document``.
        pages: of it, on which the positive and, where it is of the same document, the negative stand.
    """

    document: str
    pages: list[int]


class Triplet(Place):
    """One line of a source.

    Attributes:
        query: what is asked.
        positive: what answers it.
        negative: what looks like it and does not; "" until one is found.
    """

    query: Sample
    positive: Sample
    negative: Sample


@dataclass(frozen=True, slots=True)
class Source:
    """Where pairs come from and how often.

    Attributes:
        cap: pairs at most, drawn at random.
        weight: how often a batch comes from this source, relative to the others; None is the number of pairs,
            so that every pair is seen equally often.
        file: the JSONL file, relative to the data folder; None is ``<name>.jsonl``.
        per_document: pairs in a row whose positives are different pages of one document, so that a page is told from
            its neighbours; None draws without regard to documents.
        teacher: which of a recipe's teachers its pairs have: the frozen "backbone", the "widest" group of the model in
            training, or that of the frozen model from which it "start"s; None where the recipe has one or none.
    """

    cap: int
    weight: float | None = None
    file: str | None = None
    per_document: int | None = None
    teacher: Teacher | None = None

    @classmethod
    def parse(cls, name: str, value: Any) -> Source:
        """Read a source as a recipe writes it: a cap, or a mapping of the attributes.

        Raises:
            InputError: neither, or a value out of range.
        """
        advice = (
            f"source {name!r}: give a number of pairs, or a mapping with cap and optionally weight, file, "
            "per_document, teacher"
        )
        if isinstance(value, Source):
            return value
        if isinstance(value, Mapping):
            unknown = sorted(set(value) - {item.name for item in fields(cls)}, key=str)
            if unknown or "cap" not in value:
                raise InputError(f"{advice}; {f'unknown: {unknown}' if unknown else 'cap is missing'}")
            source = cls(**value)
        else:
            source = cls(value)
        together = 1 if source.per_document is None else source.per_document
        for key, count in (("cap", source.cap), ("per_document", together)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise InputError(f"{advice}; {key} must be a whole number of at least 1, not {count!r}")
        number = isinstance(source.weight, (int, float)) and not isinstance(source.weight, bool)
        if source.weight is not None and not (number and source.weight > 0):
            raise InputError(f"{advice}; weight must be a number above 0, not {source.weight!r}")
        if source.file is not None and not isinstance(source.file, str):
            raise InputError(f"{advice}; file must be a path, not {source.file!r}")
        if source.teacher not in (None, *get_args(Teacher)):
            known = " or ".join(repr(choice) for choice in get_args(Teacher))
            raise InputError(f"{advice}; teacher must be {known}, not {source.teacher!r}")
        return source


def read_triplets(path: Path, *, cap: int, seed: int, missing_negative: MissingNegative = "random") -> list[Triplet]:
    """Read one source.

    Args:
        path: JSONL; each line has "query", "positive" and optionally "negative", each a text or
            ``{"text": ..., "image": ...}`` with at least one of the two. Image paths are relative to the file's
            folder and may not leave it. "document" and "pages" may say where positive and negative stand. The first
            line may be the header of ``metaembed mine``.
        cap: at most this many, drawn at random.
        seed: of the draw and of random negatives.
        missing_negative: what happens to a pair without one; both are logged, none is silent. A negative that
            equals the positive but for case and spaces counts as missing.

    Raises:
        InputError: the file is missing, a line is malformed, or an image is missing or no image.
    """
    rows = read_pairs(path)
    generator = random.Random(seed)  # noqa: S311 - a draw of samples, nothing secret
    generator.shuffle(rows)
    rows = rows[:cap]
    for row in rows:
        for sample in samples(row):
            if isinstance(sample, dict) and sample["image"]:
                check_image(Path(sample["image"]))
    without = [row for row in rows if not row["negative"] or identity(row["negative"]) == identity(row["positive"])]
    if without:
        logger.warning(
            "%s: %d of %d pairs lack a hard negative: %s", path.name, len(without), len(rows), missing_negative
        )
        if missing_negative == "drop":
            gone = {id(row) for row in without}
            rows = [row for row in rows if id(row) not in gone]
            if not rows:
                raise InputError(f"{path}: no pair has a hard negative; mine some: metaembed mine {path} --out FILE")
        else:
            _fill_random(without, rows, generator)
    return rows


def read_pairs(path: Path) -> list[Triplet]:
    """Every line of a source as it stands; a missing negative is "".

    Raises:
        InputError: the file is missing or empty, or a line is malformed.
    """
    if not path.is_file():
        raise InputError(
            f"training data {path} is missing: put JSONL of query, positive and negative there, or correct the "
            "recipe's sources or --data (for the shipped mini, benchmarks/mini/prepare_data.py writes it)"
        )
    rows: list[Triplet] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                if number == 1 and isinstance(row, dict) and HEADER in row:
                    continue
                rows.append(_triplet(row, path.parent))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path}, line {number}: {error!r}") from error
    if not rows:
        raise InputError(f"{path} holds no pairs")
    return rows


def read_sources(
    folder: Path, sources: Mapping[str, Any], *, seed: int, missing_negative: MissingNegative
) -> dict[str, list[Triplet]]:
    """``read_triplets`` for every source of a recipe, keyed by name."""
    return {
        name: read_triplets(
            folder / (source.file or f"{name}.jsonl"), cap=source.cap, seed=seed, missing_negative=missing_negative
        )
        for name, source in ((name, Source.parse(name, value)) for name, value in sources.items())
    }


def identity(sample: Sample) -> tuple[str, str]:
    """What makes two samples the same: the text without case and runs of spaces, and the image's path."""
    text, image = (sample, "") if isinstance(sample, str) else (sample["text"], sample["image"])
    return " ".join((text or "").split()).casefold(), image or ""


def samples(row: Triplet) -> tuple[Sample, Sample, Sample]:
    """Query, positive and negative."""
    return row["query"], row["positive"], row["negative"]


def has_images(rows: Sequence[Triplet]) -> bool:
    """Whether any sample of a source has an image."""
    return any(isinstance(sample, dict) and sample["image"] for row in rows for sample in samples(row))


def _triplet(row: Any, folder: Path) -> Triplet:
    query, positive = _sample(row["query"], folder, "query"), _sample(row["positive"], folder, "positive")
    negative = row.get("negative") or ""
    triplet = Triplet(query=query, positive=positive, negative=negative and _sample(negative, folder, "negative"))
    if "document" in row or "pages" in row:
        triplet["document"], triplet["pages"] = _place(row.get("document"), row.get("pages"))
    return triplet


def _place(document: Any, pages: Any) -> tuple[str, list[int]]:
    if not isinstance(document, str) or not document:
        raise ValueError(f"document must be a name, not {document!r}")
    if not isinstance(pages, list) or not pages or not all(type(page) is int for page in pages):
        raise ValueError(f"pages must be the numbers of the pages of {document!r} that are shown, not {pages!r}")
    return document, pages


def _sample(value: Any, folder: Path, column: str) -> Sample:
    if isinstance(value, str):
        if not value.strip() and column != "negative":
            raise ValueError(f"the {column} has neither text nor image")
        return value if value.strip() else ""
    if not isinstance(value, dict) or set(value) - {"text", "image"}:
        raise ValueError(f'the {column} must be a text or {{"text": ..., "image": ...}}')
    text, image = value.get("text") or None, value.get("image") or None
    if not all(part is None or isinstance(part, str) for part in (text, image)):
        raise ValueError(f"text and image of the {column} must be strings")
    if image is None:
        if text is None or not text.strip():
            raise ValueError(f"the {column} has neither text nor image")
        return str(text)
    path = (folder / image).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"the {column}'s image {image!r} lies outside the data folder; move it inside")
    return {"text": text, "image": str(path)}


def _fill_random(without: list[Triplet], rows: list[Triplet], generator: random.Random) -> None:
    positives = {identity(row["positive"]): row["positive"] for row in rows}
    names = sorted(positives)
    if len(names) < 2:
        raise InputError("random negatives need at least two different positives")
    for row in without:
        while (candidate := generator.choice(names)) == identity(row["positive"]):
            pass
        row["negative"] = positives[candidate]
