"""What a drill found, kept beside the document that quotes it, so that drills may run one at a time."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "reliability.json"

_PACKAGES = ("metaembed-rag", "qdrant-edge-py", "qdrant-client", "pypdfium2", "pillow", "torch", "hypothesis")


@dataclass(frozen=True, slots=True)
class Result:
    """One drill's last run.

    Attributes:
        drill: its name in the table.
        size: how much was done, in words.
        full: whether that was the full form.
        passed: whether nothing was found.
        figures: what was counted and measured.
        findings: what must not be, in words; empty if it passed.
        seconds: how long it took.
        date: of the run, in UTC.
        machine: cores and processor.
        versions: of what took part.
    """

    drill: str
    size: str
    full: bool
    passed: bool
    figures: Mapping[str, str]
    findings: tuple[str, ...]
    seconds: float
    date: str
    machine: str
    versions: Mapping[str, str]


def load_results(path: Path = RESULTS) -> dict[str, Result]:
    """Results by drill; none if there is no such file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: Result(**{**fields, "findings": tuple(fields["findings"])}) for name, fields in content.items()}


def save_result(result: Result, path: Path = RESULTS) -> None:
    """Keep a result in place of the drill's last one."""
    results = {**load_results(path), result.drill: result}
    content = {name: asdict(results[name]) for name in sorted(results)}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def describe_machine() -> str:
    """Cores and processor, and nothing that tells whose machine it is."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].strip() if names else model
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def describe_versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}
