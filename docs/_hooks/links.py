"""Links from a page to a file of the repository: a link on a code host, the file's name on the built site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)#\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Called by mkdocs for every page. A link whose file does not exist is left, and so fails the strict build."""
    root = Path(config.config_file_path).parent.resolve()
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def rewrite(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if path.startswith(("docs/", "..")) or not (root / path).exists():
            return link[0]
        text = link["text"].strip("`")
        return f"`{path}`" if text in (path, posixpath.basename(path)) else f"{link['text']} (`{path}`)"

    return _LINK.sub(rewrite, markdown)
