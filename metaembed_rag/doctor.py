"""What ``metaembed doctor`` looks at: versions, model, engine, OCR, room, and the index at hand."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeAlias

from packaging.requirements import Requirement

from metaembed_rag.errors import IndexLockedError, MetaEmbedError, MissingDependencyError

Status: TypeAlias = Literal["ok", "optional", "warning", "broken"]

PACKAGE = "metaembed-rag"
OLDEST_PYTHON = (3, 10)
#: The packages whose versions people are asked for first.
SHOWN = ("torch", "transformers", "sentence-transformers", "qdrant-edge-py", "qdrant-client", "rapidocr")
#: Distributions that stand on this one, and how a clone installs them.
INTEGRATIONS = {
    "langchain-metaembed": "pip install ./integrations/langchain-metaembed",
    "llama-index-retrievers-metaembed": "pip install ./integrations/llama-index-retrievers-metaembed",
}
EXTRAS = ("train", "evaluation", "notebooks")
#: Room below which adding documents is likely to fail: the model takes about 0.7 GB, a thousand pages 0.15 GB.
LEAST_DISK = 1 << 30
LEAST_MEMORY = 1 << 30
MINI = "mini"
_TRIAL = {"ferry": "The first ferry leaves at six in the morning.", "coffee": "Beans are roasted at 210 degrees."}
_OCR_TRIAL = "Invoice 2019"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what.
        status: "ok"; "optional": missing, and only some uses need it; "warning"; "broken": the package cannot work.
        detail: what was found, in one line.
        fix: what to do, a command where one will do; "" where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(
    index: str | None = None,
    *,
    url: str | None = None,
    collection: str = "metaembed",
    model: str = MINI,
) -> Iterator[Finding]:
    """Look at everything, one finding after the other; nothing found wrong ends it early.

    Args:
        index: a folder that must hold an index; None looks at the default one if there is one.
        url: a server to look at instead.
        collection: on the server.
        model: the model that must load.
    """
    yield _python()
    yield from _packages()
    for name, check in (
        ("model", lambda: _model(model)),
        ("bfloat16", _bfloat16),
        ("engine", _engine),
        ("OCR", _ocr),
    ):
        yield _careful(name, check)
    place = Path(index or _default_index())
    yield _disk(place)
    yield _memory()
    yield _careful("index", lambda: _index(index, url, collection))


def is_broken(findings: list[Finding]) -> bool:
    """Whether something essential does not work."""
    return any(finding.status == "broken" for finding in findings)


def _default_index() -> str:
    from metaembed_rag.index import default_index_path

    return default_index_path()


def _careful(name: str, check: Callable[[], Finding]) -> Finding:
    """A check's finding; whatever it raises is one too, since a doctor must not fall ill."""
    try:
        return check()
    except MissingDependencyError as error:
        return Finding(name, "broken", str(error), _command(str(error)))
    except MetaEmbedError as error:
        return Finding(name, "broken", str(error))
    except Exception as error:  # noqa: BLE001 - any failure of a check is what the check is for
        return Finding(name, "broken", f"{type(error).__name__}: {error}")


def _command(message: str) -> str:
    at = message.find("pip install")
    return message[at:].split(";")[0] if at >= 0 else ""


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("python", "broken", found, f"install Python {oldest} or newer")
    return Finding("python", "ok", found)


def _packages() -> Iterator[Finding]:
    from metaembed_rag import __version__

    yield Finding(PACKAGE, "ok", __version__)
    requirements = _requirements()
    needed = {item.name: item for item in requirements if _applies(item, "")}
    for name in SHOWN:
        yield _package(needed.pop(name, Requirement(name)))
    wrong = [finding for finding in map(_package, needed.values()) if finding.status != "ok"]
    yield from wrong
    if not wrong and needed:
        yield Finding("other packages", "ok", f"{len(needed)} installed as required")
    for name, command in INTEGRATIONS.items():
        version = _version(name)
        if version is None:
            yield Finding(name, "optional", "not installed", command)
        else:
            yield Finding(name, "ok", version)
    for extra in EXTRAS:
        yield _extra(extra, requirements)


def _extra(extra: str, requirements: list[Requirement]) -> Finding:
    members = [item for item in requirements if _applies(item, extra) and not _applies(item, "")]
    missing = [item.name for item in members if _package(item).status != "ok"]
    if missing or not members:
        detail = f"not installed: {', '.join(missing)}" if missing else "not installed"
        return Finding(f"extra [{extra}]", "optional", detail, f'pip install "{PACKAGE}[{extra}]"')
    return Finding(f"extra [{extra}]", "ok", ", ".join(f"{item.name} {_version(item.name)}" for item in members))


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires(PACKAGE) or ()]
    except metadata.PackageNotFoundError:
        # Run from a checkout that was never installed: the packages that matter are still looked at.
        return []


def _applies(item: Requirement, extra: str) -> bool:
    return item.marker is None or item.marker.evaluate({"extra": extra})


def _package(item: Requirement) -> Finding:
    version = _version(item.name)
    wanted = f"{item.name}{item.specifier}"
    if version is None:
        return Finding(item.name, "broken", "not installed", f'pip install "{wanted}"')
    if not item.specifier.contains(version, prereleases=True):
        return Finding(item.name, "broken", f"{version}, but {item.specifier} is needed", f'pip install "{wanted}"')
    return Finding(item.name, "ok", version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _model(name: str) -> Finding:
    """Load it (which verifies the packaged backbone's sha256) and embed a text."""
    import numpy as np

    from metaembed_rag.embedding.backbone import MINILM, MINILM_SHA256
    from metaembed_rag.embedding.model import MetaEmbed

    start = time.monotonic()
    model = MetaEmbed.from_pretrained(name)
    rows = model.encode_queries(["a trial"], budget=1)
    if not np.allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-3):
        return Finding("model", "broken", f"{model!r} gives rows that are not of unit length")
    verified = f", weights verified (sha256 {MINILM_SHA256[:12]}…)" if model.config.backbone == MINILM else ""
    seconds = time.monotonic() - start
    return Finding(
        "model",
        "ok",
        f"{name} ({model.fingerprint}) on {model.encoder.device}: {model.config.backbone}{verified}, {seconds:.1f} s",
    )


def _bfloat16() -> Finding:
    from metaembed_rag.embedding.dtypes import computes_bfloat16

    if computes_bfloat16():
        return Finding("bfloat16", "ok", "computed here: --dtype bfloat16 embeds more pages a second")
    return Finding("bfloat16", "ok", "only emulated here, slowly: leave --dtype out")


def _engine() -> Finding:
    """Write and search with the embedded engine, in a folder of its own."""
    import numpy as np

    from metaembed_rag.store.documents import WriteDocument, WritePoint
    from metaembed_rag.store.engine import Stage
    from metaembed_rag.store.filters import Filter
    from metaembed_rag.store.open import open_engine
    from metaembed_rag.store.schema import Schema, vector_name
    from metaembed_rag.store.store import Store

    start = time.monotonic()
    rows = np.eye(len(_TRIAL), 8, dtype=np.float32)
    store = Store(open_engine(path=":memory:", url=None, collection="doctor"))
    try:
        store.create(Schema(dim=8), model="doctor", model_name="doctor")
        for row, (name, text) in zip(rows, _TRIAL.items(), strict=True):
            vectors = np.repeat(row[None], 64, axis=0)
            point = WritePoint(
                id=name, page=1, window=0, span=(0, len(text)), vectors=vectors, text=text, route="text", metadata={}
            )
            store.write([WriteDocument(name, name, name, [point])])
        found = store.search([Stage(vector_name(1), rows[1], 0)], Filter(), 1)
    finally:
        store.close()
    expected = list(_TRIAL)[1]
    if [scored.payload["id"] for scored in found] != [expected]:
        return Finding("engine", "broken", f"a trial index finds {found!r} instead of {expected!r}")
    return Finding("engine", "ok", f"embedded: wrote and found a page in {time.monotonic() - start:.1f} s")


def _ocr() -> Finding:
    """Read a line that is drawn here."""
    from PIL import Image, ImageDraw, ImageFont

    from metaembed_rag.pages.ocr import RapidOcrReader

    sheet = Image.new("RGB", (520, 120), "white")
    ImageDraw.Draw(sheet).text((24, 30), _OCR_TRIAL, fill="black", font=ImageFont.load_default(size=40))
    start = time.monotonic()
    try:
        text, _ = RapidOcrReader().read(sheet)
    except MissingDependencyError as error:
        return Finding("OCR", "optional", f"scans and pictures cannot be read: {error}", _command(str(error)))
    if "".join(text.split()).casefold() != "".join(_OCR_TRIAL.split()).casefold():
        return Finding("OCR", "warning", f"read {text!r} where {_OCR_TRIAL!r} is written")
    return Finding("OCR", "ok", f"rapidocr read a trial line in {time.monotonic() - start:.1f} s")


def _disk(place: Path) -> Finding:
    from metaembed_rag.tables import size

    folder = place.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    places = {str(folder): shutil.disk_usage(folder).free, tempfile.gettempdir(): 0}
    places[tempfile.gettempdir()] = shutil.disk_usage(tempfile.gettempdir()).free
    detail = ", ".join(f"{size(free)} free at {name}" for name, free in places.items())
    if not os.access(folder, os.W_OK):
        return Finding("disk", "warning", f"{folder} cannot be written to", "name another folder with --index")
    if min(places.values()) < LEAST_DISK:
        return Finding("disk", "warning", detail, "make room: a thousand pages take about 150 MB")
    return Finding("disk", "ok", detail)


def _memory() -> Finding:
    from metaembed_rag.tables import size

    free = _free_memory()
    if free is None:
        return Finding("memory", "ok", "this system does not tell")
    if free < LEAST_MEMORY:
        return Finding("memory", "warning", f"{size(free)} free", "close other programs: the model takes about 0.7 GB")
    return Finding("memory", "ok", f"{size(free)} free")


def _free_memory() -> int | None:
    """Bytes that a process may still take; None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _index(index: str | None, url: str | None, collection: str) -> Finding:
    from metaembed_rag.index import MetaEmbedIndex
    from metaembed_rag.tables import size

    named = index or url
    place = index or _default_index()
    if url is None and index is None and not Path(place).is_dir():
        return Finding("index", "ok", f"none at {place} yet", "metaembed index PATH")
    try:
        with MetaEmbedIndex(index if url else place, url=url, collection=collection, create=False) as opened:
            info: dict[str, Any] = opened.info()
    except IndexLockedError as error:
        return Finding("index", "warning", str(error))
    except MetaEmbedError as error:
        return Finding("index", "broken" if named else "warning", str(error))
    if info["dim"] is None:
        return Finding("index", "warning", f"{named or place} is empty", "metaembed index PATH")
    return Finding(
        "index",
        "ok",
        f"{named or place}: {info['pages']} pages of {info['documents']} documents, "
        f"{size(info['bytes'])}, model {info['model']}, engine {info['engine']}",
    )
