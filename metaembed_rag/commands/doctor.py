"""metaembed doctor: check that everything needed is there and works, and say what to do where not."""

from __future__ import annotations

from contextlib import nullcontext

import typer

from metaembed_rag.commands.options import CollectionOption, IndexOption, JsonOption, ModelOption, UrlOption, print_json


def doctor(
    index: IndexOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "metaembed",
    model: ModelOption = "mini",
    as_json: JsonOption = False,
) -> None:
    """Check versions, model, engine, OCR, room and index; exit code 1 if something essential is broken."""
    from metaembed_rag.doctor import Finding, examine, is_broken

    findings: list[Finding] = []
    if as_json:
        findings.extend(examine(index, url=url, collection=collection, model=model))
        print_json({"ok": not is_broken(findings), "findings": [finding.to_dict() for finding in findings]})
    else:
        from rich.console import Console

        from metaembed_rag.progress import has_terminal
        from metaembed_rag.tables import findings_summary, print_finding

        console = Console()
        with Console(stderr=True).status("looking", spinner="line") if has_terminal() else nullcontext():
            for finding in examine(index, url=url, collection=collection, model=model):
                findings.append(finding)
                print_finding(finding, console)
        findings_summary(findings, console)
    if is_broken(findings):
        raise typer.Exit(1)
