"""The documentation is built strictly and offline, its code runs, and it knows every error and every command."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer

from metaembed_rag import MetaEmbed, MetaEmbedIndex, errors
from metaembed_rag.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
#: Read without OCR, so that pages run quickly.
REPORTS = ("ferry-annual-report.pdf", "coffee-roasting-notebook.pdf")

_BLOCK = re.compile(r"(?P<mark><!-- runnable -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
#: What a page makes a browser fetch from another host.
_LOADED = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"'> ]+)", re.IGNORECASE)


def blocks(page: str) -> Iterator[tuple[int, str, bool]]:
    """Line, code and mark of the Python blocks of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield text[: found.start("code")].count("\n"), found["code"], found["mark"] is not None


RUNNABLE = [page for page in PAGES if any(runs for _, _, runs in blocks(page))]


# -- the site ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    # Whatever the build tried to fetch would end at a closed port.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_is_built_strictly_with_every_page(site):
    for page in PAGES:
        assert (site / page).with_suffix(".html").is_file(), page


def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        found = _LOADED.findall(path.read_text(encoding="utf-8"))
        assert not found, (path.name, found)
    for path in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:", path.read_text(encoding="utf-8")), path.name


def test_api_pages_show_docstrings(site):
    page = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="metaembed_rag.index.MetaEmbedIndex.search"' in page
    assert "A document becomes visible when all of its pages are written" in page
    recipe = (site / "api" / "training.html").read_text(encoding="utf-8")
    assert "Recipe.lora_dropout" in recipe
    assert "rank, alpha" not in recipe, "attributes that share a line have an entry each"


def test_drawings_are_whole_described_and_used():
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    drawings = sorted((DOCS / "drawings").glob("*.svg"))
    assert len(drawings) >= 3
    for path in drawings:
        root = ET.parse(path).getroot()  # noqa: S314 - our own file
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert {"title", "desc"} <= kinds, path.name
        assert not kinds & {"script", "image", "foreignObject"}, path.name
        assert f"drawings/{path.name}" in text, path.name


def test_links_into_the_repository_become_names_on_the_site():
    hook = _load(DOCS / "_hooks" / "links.py")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="howto/x.md"))
    config = SimpleNamespace(config_file_path=str(ROOT / "mkdocs.yml"))
    text = "[README.md](../../README.md), [the licence](../../LICENSE), [page](../index.md), [gone](../../nothing.md)"
    assert hook.on_page_markdown(text, page=page, config=config) == (
        "`README.md`, the licence (`LICENSE`), [page](../index.md), [gone](../../nothing.md)"
    )


# -- code --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles(page):
    for line, code, _ in blocks(page):
        compile(code, f"{page}:{line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, model) -> Path:
    """What a reader has: a folder of reports, and here already their index, so that adding them costs nothing."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples" / "reports").mkdir(parents=True)
    for name in REPORTS:
        shutil.copy(ROOT / "examples" / "reports" / name, folder / "examples" / "reports" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with MetaEmbedIndex("reports.index", model=model) as index:
            index.add("examples/reports")
    return folder


@pytest.mark.parametrize("page", RUNNABLE)
def test_runnable_pages_run(page, workplace, model, tmp_path, monkeypatch):
    if page == "howto/evaluate.md":
        pytest.importorskip("mteb")
    shutil.copytree(workplace, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    # Loaded once, not once a page.
    load = MetaEmbed.from_pretrained
    monkeypatch.setattr(
        MetaEmbed, "from_pretrained", lambda name="mini", **options: model if name == "mini" else load(name, **options)
    )
    namespace: dict[str, Any] = {}
    try:
        for line, code, runs in blocks(page):
            if runs:
                exec(compile("\n" * line + code, str(DOCS / page), "exec"), namespace)  # noqa: S102 - our own pages
    finally:
        for value in namespace.values():
            if isinstance(value, MetaEmbedIndex):
                value.close()


def test_the_pages_a_newcomer_reads_first_run():
    assert {"index.md", "concepts/budget.md", "howto/search.md", "howto/latency.md", "howto/evaluate.md"} <= set(
        RUNNABLE
    )


# -- errors and commands -----------------------------------------------------------------------------------

TROUBLES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.MetaEmbedError)
}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_has_a_section_and_its_place_in_the_tree(name):
    section = _section(name)
    assert len(section.split()) >= 8, "say what it means and what to do"
    tree = TROUBLES.split("## The tree", 1)[1].split("```")[1]
    depth = sum(issubclass(CLASSES[name], other) for other in CLASSES.values()) - 1
    (line,) = [line for line in tree.splitlines() if line.endswith((f" {name}", f"\n{name}")) or line == name]
    assert len(re.match(r"[│├└─ ]*", line)[0]) == 4 * depth, "its place is below its base"


def test_every_error_that_is_raised_is_of_the_tree():
    """No class of messages hides outside errors.py, where nobody would look for it."""
    raised = {kind for kind, _ in _raised()}
    outside = {name for name in raised if name.endswith("Error") and name not in CLASSES and not _is_builtin(name)}
    assert not outside
    assert {"InputError", "StoreError", "CorruptDocumentError"} <= raised


def test_quoted_messages_are_what_the_code_says():
    templates = [text for _, text in _raised()] + [text for text in _texts() if len(text) > 8]
    for name in sorted(CLASSES):
        for message in _messages(_section(name)):
            parts = [part.strip() for part in message.split("…") if len(part.strip()) > 3]
            assert parts, f"{message!r} quotes nothing"
            pattern = re.compile(".*?".join(map(re.escape, parts)), re.DOTALL)
            assert any(pattern.search(text) for text in templates), f"{name}: no message says {message!r}"


def test_every_command_and_option_shown_exists():
    group = typer.main.get_command(app)
    text = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    for name in group.commands:
        assert f"`metaembed {name}" in (DOCS / "cli.md").read_text(encoding="utf-8"), f"cli.md lacks {name}"
    shown = re.findall(r"(?:^|`|; |\b\d )metaembed ([a-z]+)([^`\n]*)", text, re.MULTILINE)
    assert len(shown) > 20
    for name, rest in shown:
        assert name in group.commands, f"metaembed {name} is no command"
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest.split("#")[0]):
            assert option in options, f"metaembed {name} has no {option}"


# -- inside ------------------------------------------------------------------------------------------------


def _section(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", TROUBLES, re.MULTILINE | re.DOTALL)
    assert found, f"docs/troubleshooting.md has no section ### {name}"
    return found[1]


def _messages(section: str) -> list[str]:
    """Messages quoted in the first column of a section's table."""
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def _sources() -> Iterator[ast.Module]:
    for path in sorted((ROOT / "metaembed_rag").rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def _raised() -> list[tuple[str, str]]:
    """Class and message of every error that is made by name; what differs in a message is left out."""
    return [
        (node.func.id, " ".join(_template(argument) for argument in node.args))
        for tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")
    ]


def _texts() -> list[str]:
    return [
        _template(node)
        for tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, (ast.JoinedStr, ast.Constant))
    ]


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return "\0"


def _is_builtin(name: str) -> bool:
    import builtins

    return hasattr(builtins, name)


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
