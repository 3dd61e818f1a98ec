"""An mteb retrieval task from files on this machine: BEIR's or ViDoRe's layout, texts or page pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaembed_rag.errors import InputError, MissingDependencyError

_INSTALL = '{} needs {}: pip install "metaembed-rag[evaluation]"'
_NAMES = {"corpus": ("id", "_id", "corpus-id"), "queries": ("id", "_id", "query-id")}
_LAYOUT = (
    "a task folder holds corpus, queries and qrels, each as NAME.jsonl, NAME.parquet or NAME/*.parquet (qrels also as "
    "qrels.tsv or qrels/test.tsv)"
)


def read_task(folder: str | Path, name: str | None = None) -> Any:
    """A task for ``mteb.evaluate`` from a folder; nothing is fetched.

    Args:
        folder: corpus ("id" with "text", "title", "image"), queries ("id" with "text", "image") and qrels ("query-id",
            "corpus-id", "score"). "_id", "corpus-id", "query-id" and "query" are understood as published sets write
            them. In JSONL an image is a path inside the folder, in Parquet its bytes.
        name: what results call the task; None is the folder's name.

    Raises:
        InputError: a part is missing or malformed, or a judgement names what is not there.
        MissingDependencyError: mteb or datasets is not installed.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {_LAYOUT}")
    corpus, queries = (_read_rows(root, part) for part in ("corpus", "queries"))
    relevant = _judgements(root, set(queries["id"]), set(corpus["id"]))
    return _make_task(name or root.resolve().name, corpus, queries, relevant)


def _make_task(name: str, corpus: Any, queries: Any, relevant: Mapping[str, Mapping[str, int]]) -> Any:
    try:
        from mteb.abstasks.retrieval import AbsTaskRetrieval
        from mteb.abstasks.task_metadata import TaskMetadata
    except ImportError as error:
        raise MissingDependencyError(_INSTALL.format("a task", "mteb")) from error
    kinds = {part: _category(rows) for part, rows in (("q", queries), ("c", corpus))}
    modalities = [kind for kind in ("text", "image") if any(kind[0] in found for found in kinds.values())]
    metadata = TaskMetadata(
        name=name,
        description=f"{name}, read from local files.",
        dataset={"path": name, "revision": "local"},
        type="Retrieval",
        category=f"{kinds['q']}2{kinds['c']}",
        modalities=modalities,
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_5",
        is_public=False,
    )

    def load_data(self: Any, num_proc: int | None = None, **reserved: Any) -> None:
        split = {"corpus": corpus, "queries": queries, "relevant_docs": relevant, "top_ranked": None}
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True

    kind = type("LocalTask", (AbsTaskRetrieval,), {"metadata": metadata, "load_data": load_data})
    return kind()


def _category(rows: Any) -> str:
    """Letters of mteb for the columns of a part: "t", "i" or "it"."""
    return "".join(letter for letter, column in (("i", "image"), ("t", "text")) if column in rows.column_names)


def _read_rows(root: Path, part: str) -> Any:
    datasets = _datasets()
    lines = root / f"{part}.jsonl"
    if lines.is_file():
        rows = datasets.Dataset.from_list([_with_image(row, root, lines) for row in _read_lines(lines)])
    else:
        rows = _read_parquet(root, part)
    names = [name for name in _NAMES[part] if name in rows.column_names]
    if not names:
        raise InputError(f"{part} in {root} has no column {' or '.join(_NAMES[part])}; it has {rows.column_names}")
    renamed = {names[0]: "id"} | ({"query": "text"} if part == "queries" and "text" not in rows.column_names else {})
    rows = rows.rename_columns({old: new for old, new in renamed.items() if old != new and old in rows.column_names})
    if not {"text", "image"} & set(rows.column_names):
        raise InputError(f"{part} in {root} has neither text nor image; it has {rows.column_names}")
    rows = rows.cast_column("id", datasets.Value("string"))
    return rows.cast_column("image", datasets.Image()) if "image" in rows.column_names else rows


def _read_parquet(root: Path, part: str) -> Any:
    files = (
        [root / f"{part}.parquet"] if (root / f"{part}.parquet").is_file() else sorted(root.glob(f"{part}/*.parquet"))
    )
    if not files:
        raise InputError(f"{root} holds no {part}; {_LAYOUT}")
    rows = _datasets().Dataset.from_parquet([str(file) for file in files])
    if "image" in rows.column_names:
        # A picture named by an address instead of given by its bytes would be fetched when it is looked at.
        import pyarrow.compute

        column = rows.data.column("image")
        if pyarrow.compute.struct_field(column, "bytes").null_count:
            raise InputError(f"{files[0]}: its image column must hold the pictures' bytes; embed them in the file")
    return rows


def _with_image(row: Mapping[str, Any], root: Path, file: Path) -> dict[str, Any]:
    image = row.get("image")
    if image is None:
        return dict(row)
    path = (root / str(image)).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise InputError(f"{file}: the image {image!r} is no file inside {root}; put it there and name it by its path")
    return {**row, "image": str(path)}


def _judgements(root: Path, queries: set[str], documents: set[str]) -> dict[str, dict[str, int]]:
    relevant: dict[str, dict[str, int]] = {}
    for row in _read_judgements(root):
        try:
            query, document, score = str(row["query-id"]), str(row["corpus-id"]), int(row["score"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"qrels in {root}: each row needs query-id, corpus-id and a whole score ({error!r})"
            ) from error
        if query not in queries or document not in documents:
            raise InputError(f"qrels in {root}: query {query!r} or document {document!r} is missing in the other parts")
        relevant.setdefault(query, {})[document] = score
    if not relevant:
        raise InputError(f"qrels in {root} hold no judgements")
    return relevant


def _read_judgements(root: Path) -> Sequence[Mapping[str, Any]]:
    if (root / "qrels.jsonl").is_file():
        return _read_lines(root / "qrels.jsonl")
    for file in (root / "qrels.tsv", root / "qrels" / "test.tsv"):
        if file.is_file():
            with file.open(encoding="utf-8", newline="") as lines:
                return list(csv.DictReader(lines, delimiter="\t"))
    return list(_read_parquet(root, "qrels"))


def _read_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    # At line feeds alone: JSON may hold what else Python takes for the end of a line.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected an object")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no rows")
    return rows


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            'reading a task needs datasets: pip install "metaembed-rag[evaluation]"'
        ) from error
    return datasets
