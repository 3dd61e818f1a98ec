"""Write the training pairs of the mini model from public data: one JSONL a source and a MANIFEST.json.

Example:
    python benchmarks/mini/prepare_data.py --out pairs --debian-lists /var/lib/apt/lists --manuals unpacked \
        --wikitq WikiTableQuestions --tabfact Table-Fact-Checking --tatqa TAT-QA \
        --fetaqa FeTaQA --medquad MedQuAD --abstracts biocreative-v-cdr ncbi-disease --pubmedqa pubmedqa \
        --filings sec-parser-test-data --financebench financebench --trials evidence-inference \
        --qed QED --selqa selqa --covidqa COVID-QA --scitldr scitldr --fairytaleqa FairytaleQAData
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sources.debian import read_debian
from sources.details import read_details
from sources.filing_questions import read_filing_questions
from sources.filings import financebench_companies
from sources.manuals import read_manuals
from sources.medical import read_abstracts, read_medquad
from sources.pair import Pair
from sources.passages import read_articles, read_papers, read_wikipedia
from sources.stories import read_stories
from sources.tables import read_fetaqa, read_ottqa, read_tabfact, read_tatqa, read_wikitq, wikitq_evaluation_titles
from sources.trials import read_trials

from metaembed_rag.evaluation.benchmarks import read_benchmark

logger = logging.getLogger("prepare_data")

LICENCES = {
    "debian": "Debian package descriptions; see the copyright file of each package",
    "manuals": "per package; see usr/share/doc/*/copyright in each unpacked package",
    "wikitq": "CC BY-SA 4.0 (ppasupat/WikiTableQuestions)",
    "tabfact": "CC BY 4.0, repository MIT (wenhuchen/Table-Fact-Checking)",
    "tatqa": "CC BY 4.0 (NExTplusplus/TAT-QA)",
    "fetaqa": "CC BY-SA 4.0 (Yale-LILY/FeTaQA)",
    "ottqa": "MIT, tables of Wikipedia CC BY-SA (wenhuchen/OTT-QA, wenhuchen/HybridQA)",
    "medquad": "CC BY 4.0 (abachaa/MedQuAD)",
    "filings": "reports on EDGAR (US SEC), each company's own (alphanome-ai/sec-parser-test-data, MIT)",
    "abstracts": "public domain (US National Library of Medicine: BioCreative V CDR and NCBI Disease corpora)",
    "trials": "open articles, licences their own (jayded/evidence-inference, MIT)",
    "wikipedia": "CC BY-SA 3.0 (google-research-datasets/QED), Apache-2.0 with text of Wikipedia (emorynlp/selqa)",
    "articles": "open articles, licences their own (deepset-ai/COVID-QA, Apache-2.0)",
    "papers": "Apache-2.0 (allenai/scitldr)",
    "details": "those of wikipedia and stories, from whose passages they are made",
    "stories": "Apache-2.0, stories of Project Gutenberg (uci-soe/FairytaleQAData)",
}


def main(arguments: list[str] | None = None) -> None:
    """Read the sources that were given and write their pairs."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    sources = _sources(options)
    if not sources:
        raise SystemExit(
            "no source given: pass at least one of --debian-lists, --manuals, --wikitq, --tabfact, --tatqa, "
            "--fetaqa, --ottqa, --medquad, --abstracts, --trials, --filings, --qed, --selqa, --covidqa, --scitldr, "
            "--fairytaleqa"
        )
    manifest_path = options.out / "MANIFEST.json"
    manifest: dict[str, Any] = {"seed": options.seed, "sources": {}}
    if manifest_path.is_file():
        manifest["sources"] = json.loads(manifest_path.read_text(encoding="utf-8"))["sources"]
    for name, read in sources.items():
        manifest["sources"][name] = {
            **_write(options.out / f"{name}.jsonl", read()),
            "licence": LICENCES[name],
            "seed": options.seed,
        }
        manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    logger.info("%d pairs in all", sum(entry["pairs"] for entry in manifest["sources"].values()))


def _sources(options: argparse.Namespace) -> dict[str, Callable[[], list[Pair]]]:
    seed = options.seed
    sources: dict[str, Callable[[], list[Pair]]] = {}
    if options.tatqa:
        sources["tatqa"] = lambda: read_tatqa(options.tatqa, seed)
    if options.wikitq:
        sources["wikitq"] = lambda: read_wikitq(options.wikitq, seed)
    held = wikitq_evaluation_titles(options.wikitq) if options.wikitq else frozenset()
    if options.fetaqa:
        sources["fetaqa"] = lambda: read_fetaqa(options.fetaqa, seed, without_titles=held)
    if options.ottqa:
        if options.hybridqa is None:
            raise SystemExit("--ottqa needs --hybridqa too, which asks about the same tables")
        sources["ottqa"] = lambda: read_ottqa(options.ottqa, options.hybridqa, seed, without_titles=held)
    if options.medquad:
        sources["medquad"] = lambda: read_medquad(options.medquad, seed)
    if options.abstracts or options.trials or options.covidqa:
        if options.pubmedqa is None:
            raise SystemExit(
                "--abstracts, --trials and --covidqa need --pubmedqa too: articles of that benchmark are left out"
            )
        abstracts = read_benchmark("pubmedqa", options.pubmedqa).documents
        asked = frozenset(abstracts)
        if options.abstracts:
            sources["abstracts"] = lambda: read_abstracts(options.abstracts, seed, without=asked)
        if options.trials:
            sources["trials"] = lambda: read_trials(options.trials, seed, without=asked)
        if options.covidqa:
            sources["articles"] = lambda: read_articles(options.covidqa, seed, without=abstracts.values())
    if options.qed or options.selqa:
        sources["wikipedia"] = cache(lambda: read_wikipedia(options.qed, options.selqa, seed))
    if options.scitldr:
        sources["papers"] = lambda: read_papers(options.scitldr, seed)
    if options.fairytaleqa:
        sources["stories"] = cache(lambda: read_stories(options.fairytaleqa, seed))
    prose = [sources[name] for name in ("wikipedia", "stories") if name in sources]
    if prose:
        sources["details"] = lambda: read_details((pair for read in prose for pair in read()), seed)
    if options.tabfact:
        sources["tabfact"] = lambda: read_tabfact(options.tabfact, seed, without_titles=held)
    if options.filings:
        if options.financebench is None:
            raise SystemExit("--filings needs --financebench too: companies of that benchmark are left out")
        companies = financebench_companies(options.financebench)
        sources["filings"] = lambda: read_filing_questions(
            options.filings, seed, without=companies, processes=options.processes
        )
    if options.debian_lists:
        sources["debian"] = lambda: read_debian(options.debian_lists, seed)
    if options.manuals:
        sources["manuals"] = lambda: read_manuals(
            options.manuals, seed, pages=options.pages, processes=options.processes
        )
    return sources


def _write(path: Path, pairs: list[Pair]) -> dict[str, Any]:
    lines = [json.dumps(pair.to_json(), ensure_ascii=False) for pair in pairs]
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")
    path.write_bytes(data)
    kinds = dict(sorted(Counter(pair.source for pair in pairs).items()))
    entry = {
        "file": path.name,
        "pairs": len(pairs),
        "with_negative": sum(pair.negative is not None for pair in pairs),
        "kinds": kinds,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    logger.info("%s: %d pairs, %d with a negative, %s", path.name, len(pairs), entry["with_negative"], kinds)
    return entry


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSONL files and MANIFEST.json")
    parser.add_argument("--debian-lists", type=Path, help="folder with *Translation-en* package lists")
    parser.add_argument("--manuals", type=Path, help="folder of unpacked documentation packages, one folder each")
    parser.add_argument("--wikitq", type=Path, help="clone of ppasupat/WikiTableQuestions")
    parser.add_argument("--tabfact", type=Path, help="clone of wenhuchen/Table-Fact-Checking")
    parser.add_argument("--tatqa", type=Path, help="clone of NExTplusplus/TAT-QA")
    parser.add_argument("--fetaqa", type=Path, help="clone of Yale-LILY/FeTaQA")
    parser.add_argument("--ottqa", type=Path, help="clone of wenhuchen/OTT-QA, with the tables")
    parser.add_argument("--hybridqa", type=Path, help="clone of wenhuchen/HybridQA, with more questions about them")
    parser.add_argument("--medquad", type=Path, help="clone of abachaa/MedQuAD")
    parser.add_argument("--abstracts", type=Path, nargs="+", help="clones of corpora in PubTator's format")
    parser.add_argument("--trials", type=Path, help="clone of jayded/evidence-inference")
    parser.add_argument("--qed", type=Path, help="clone of google-research-datasets/QED")
    parser.add_argument("--selqa", type=Path, help="clone of emorynlp/selqa")
    parser.add_argument("--covidqa", type=Path, help="clone of deepset-ai/COVID-QA")
    parser.add_argument("--scitldr", type=Path, help="clone of allenai/scitldr")
    parser.add_argument("--fairytaleqa", type=Path, help="clone of uci-soe/FairytaleQAData")
    parser.add_argument("--pubmedqa", type=Path, help="clone of pubmedqa/pubmedqa, whose articles are left out")
    parser.add_argument("--filings", type=Path, help="folder of 10-K and 10-Q reports as EDGAR publishes them (HTML)")
    parser.add_argument(
        "--financebench", type=Path, help="clone of patronus-ai/financebench: its companies are left out"
    )
    parser.add_argument("--pages", type=int, default=15_000, help="read manuals until this many pages")
    parser.add_argument("--processes", type=int, default=2, help="processes that read manuals and filings")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
