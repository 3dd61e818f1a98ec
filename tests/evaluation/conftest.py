"""Small folders in the file formats of the public benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def _paragraphs(*texts: str) -> list[dict[str, object]]:
    return [{"uid": f"p{order}", "order": order, "text": text} for order, text in enumerate(texts, start=1)]


@pytest.fixture
def pubmedqa(tmp_path: Path) -> Path:
    folder = tmp_path / "pubmedqa"
    (folder / "data").mkdir(parents=True)
    entries = {
        "101": {
            "QUESTION": "Does green tea lower resting heart rate?",
            "CONTEXTS": ["We followed forty tea drinkers.", "Heart rate was read every morning."],
            "LABELS": ["METHODS", "RESULTS"],
            "MESHES": ["Tea"],
            "final_decision": "no",
            "LONG_ANSWER": "Green tea had no effect.",
        },
        "202": {
            "QUESTION": "Is walking as good as running for bone density?",
            "CONTEXTS": ["Bone density of runners and walkers was compared over two years."],
            "LABELS": ["METHODS"],
            "MESHES": ["Walking"],
            "final_decision": "maybe",
            "LONG_ANSWER": "Both groups kept their bone density.",
        },
    }
    (folder / "data" / "ori_pqal.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.fixture
def wikitq(tmp_path: Path) -> Path:
    folder = tmp_path / "wikitq"
    for name in ("data", "misc", "csv/201-csv"):
        (folder / name).mkdir(parents=True)
    header = "id\tutterance\tcontext\ttargetValue\n"
    (folder / "data" / "pristine-unseen-tables.tsv").write_text(
        header
        + "nu-0\twhich lake is deeper than 300 metres?\tcsv/201-csv/1.csv\tLake Brenn\n"
        + "nu-1\thow many lakes are listed?\tcsv/201-csv/1.csv\t2\n"
        + "nu-2\twho kept goal in 1988?\tcsv/201-csv/2.csv\tIda Moss|Tor Vik\n",
        encoding="utf-8",
    )
    (folder / "data" / "training.tsv").write_text(
        header
        + "nt-0\twhich tower was built first?\tcsv/201-csv/3.csv\tNorth\n"
        + "nt-1\twhich bridge was built last?\tcsv/201-csv/4.csv\tFerry Bridge\n",
        encoding="utf-8",
    )
    columns = "contextId\tpageId\tpageRev\ttableIndex\ttitle\theaders\tcaption"
    columns += "\ttagAbove\ttextAbove\ttagBelow\ttextBelow\n"
    (folder / "misc" / "table-metadata.tsv").write_text(
        columns
        + "csv/201-csv/1.csv\t1\t1\t0\tLakes of Sund\tGeography|Depth\t\th3\tDepth\tp\t\n"
        + "csv/201-csv/2.csv\t2\t2\t0\tHaven United\t\t\th3\t\tp\t\n"
        + "csv/201-csv/3.csv\t3\t3\t0\tTowers of Sund\tList\t\th3\t\tp\t\n"
        + "csv/201-csv/4.csv\t4\t4\t0\tBridges of Sund\tList\t\th3\t\tp\t\n",
        encoding="utf-8",
    )
    tables = {
        "1.csv": '"Lake","Depth\n(m)"\n"Lake Brenn","312"\n"The \\"Small\\" Lake","8"\n',
        "2.csv": '"Year","Goalkeeper"\n"1988","Ida Moss, Tor Vik"\n"1989",""\n',
        "3.csv": '"Tower","Built"\n"North","1410"\n"South","1425"\n',
        "4.csv": '"Bridge","Built"\n"Mill Bridge","1611"\n"Ferry Bridge","1902"\n',
    }
    for name, text in tables.items():
        (folder / "csv" / "201-csv" / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def tatqa(tmp_path: Path) -> Path:
    folder = tmp_path / "tatqa"
    (folder / "dataset_raw").mkdir(parents=True)

    def write(part: str, company: str) -> None:
        contexts = [
            {
                "table": {
                    "uid": f"{part}-t1",
                    "table": [["", "2019", "2018"], [f"{company} revenue", "$12.5", "$11.0"]],
                },
                "paragraphs": _paragraphs(f"Revenue of {company} rose with prices.", "All figures are in millions.")[
                    ::-1
                ],
                "questions": [
                    {
                        "uid": f"{part}-q1",
                        "order": 1,
                        "question": f"What was the revenue of {company} in 2019?",
                    },
                    {"uid": f"{part}-q2", "order": 2, "question": f"Why did revenue of {company} rise?"},
                ],
            },
            {
                "table": {"uid": f"{part}-t2", "table": [["Staff", "Count"], ["Engineers", "40"]]},
                "paragraphs": _paragraphs(f"{company} has forty engineers."),
                "questions": [{"uid": f"{part}-q3", "order": 1, "question": f"How many engineers has {company}?"}],
            },
        ]
        path = folder / "dataset_raw" / f"tatqa_dataset_{part}.json"
        path.write_text(json.dumps(contexts), encoding="utf-8")

    write("dev", "Norrland Timber")
    write("test_gold", "Fjord Shipping")
    return folder


@pytest.fixture
def tabfact(tmp_path: Path) -> Path:
    folder = tmp_path / "tabfact"
    (folder / "tokenized_data").mkdir(parents=True)
    (folder / "data" / "all_csv").mkdir(parents=True)
    examples = {
        "1-1.html.csv": [["anna win two race in 1999", "anna win no race in 1999"], [1, 0], "anna holm"],
        "1-2.html.csv": [["berit win one race in 2001"], [1], "berit lund"],
        "1-3.html.csv": [["the lake be 312 metre deep"], [1], "lakes of sund"],
    }
    (folder / "tokenized_data" / "val_examples.json").write_text(json.dumps(examples) + " " * 1024, encoding="utf-8")
    (folder / "data" / "all_csv" / "1-1.html.csv").write_text("year#races won\n1999#2\n", encoding="utf-8")
    (folder / "data" / "all_csv" / "1-2.html.csv").write_text("year#races won\n2001#1\n", encoding="utf-8")
    (folder / "data" / "all_csv" / "1-3.html.csv").write_text("lake#depth\nbrenn#312\n", encoding="utf-8")
    return folder


@pytest.fixture
def fetaqa(tmp_path: Path) -> Path:
    folder = tmp_path / "fetaqa"
    (folder / "data").mkdir(parents=True)
    pages = [("Anna Holm", "Races", "1999"), ("Berit Lund", "Races", "2001"), ("Lakes of Sund", "Depths", "312")]
    rows = [
        {
            "table_page_title": page,
            "table_section_title": section,
            "table_array": [["year", "place"], [value, "first"]],
            "question": f"What came first for {page}?",
        }
        for page, section, value in pages
    ]
    lines = [json.dumps(row) for row in [{"version": "1.0"}, *rows]]
    (folder / "data" / "fetaQA-v1_dev.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def ottqa(tmp_path: Path) -> tuple[Path, Path]:
    """Clones of OTT-QA, which has the tables, and of HybridQA; neither has its training split."""
    clones = (tmp_path / "ottqa", tmp_path / "hybridqa")
    tables = clones[0] / "data" / "traindev_tables_tok"
    tables.mkdir(parents=True)
    pages = [
        ("Anna_Holm_0", "Anna Holm", "1999"),
        ("Berit_Lund_0", "Berit Lund", "2001"),
        ("Lake_0", "Lakes of Sund", "312"),
    ]
    for name, title, year in pages:
        content = {
            "title": title,
            "section_title": "Races",
            "header": [["Year", []], ["Place", []]],
            "data": [[[year, []], ["first ( of two )", ["/wiki/Two"]]]],
        }
        (tables / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    for clone, question in zip(clones, ("Where did {} 's coach , a teacher , live ?", "Who beat {} ?"), strict=True):
        rows = [{"question": question.format(title), "table_id": name} for name, title, _ in pages]
        rows.append({"question": "Of a table elsewhere ?", "table_id": "Elsewhere_0"})
        (clone / "released_data").mkdir(parents=True)
        (clone / "released_data" / "dev.json").write_text(json.dumps(rows) + " " * 1024, encoding="utf-8")
    return clones


@pytest.fixture
def medquad(tmp_path: Path) -> Path:
    folder = tmp_path / "medquad" / "9_CDC_QA"
    folder.mkdir(parents=True)
    for number, name in enumerate(("fever", "cough", "rash")):
        answer = f"People with {name} should rest and drink water until the {name} is gone. " * 4 + "See a doctor."
        (folder / f"{number}.xml").write_text(
            "<Document><QAPairs>"
            f"<QAPair><Question>What are the treatments for {name} ?</Question><Answer>{answer}</Answer></QAPair>"
            f"<QAPair><Question>Who is at risk for {name} ?</Question><Answer></Answer></QAPair>"
            "</QAPairs></Document>",
            encoding="utf-8",
        )
    (folder / "broken.xml").write_text("<Document><QAPairs>", encoding="utf-8")
    return folder.parent


@pytest.fixture
def abstracts(tmp_path: Path) -> Path:
    """A corpus in PubTator's format; article 101 is one of PubMedQA's."""
    folder = tmp_path / "abstracts"
    (folder / "original-data").mkdir(parents=True)
    articles = []
    for number, drug in ((101, "tea"), (7, "lithium"), (8, "clonidine"), (9, "aspirin")):
        text = f"Rats were given {drug} for a week, and their heart rate was read every hour of it. " * 3
        articles.append(
            f"{number}|t|Effects of {drug} on the heart\n"
            f"{number}|a|{text}In the end {drug} did no harm at all.\n"
            f"{number}\t0\t4\t{drug}\tChemical\tD1\n"
        )
    (folder / "original-data" / "all.txt").write_text("\n".join(articles), encoding="utf-8")
    return folder


@pytest.fixture
def qed(tmp_path: Path) -> Path:
    """Two questions about one paragraph for the benchmark, three about two for training."""
    folder = tmp_path / "qed"
    folder.mkdir()

    def line(number: int, question: str, title: str, text: str) -> str:
        row = {"example_id": number, "question_text": question, "title_text": title, "paragraph_text": text}
        return json.dumps(row) + "\n"

    canal = "Anna Holm dug the first canal of Sund ( 1790 ) ; it is 12 miles long ."
    asked = (-7, "who dug the first canal of sund"), (8, "how long is the canal of sund")
    dev = "".join(line(number, question, "Canal of Sund", canal) for number, question in asked)
    (folder / "qed-dev.jsonlines").write_text(dev, encoding="utf-8")
    tower = "The tower of Brenn ( built in 1412 ) , a ruler 's seat , is a well - known `` ruin '' of the north . " * 3
    mill = "The mill of Brenn grinds no flour today , but it is open to guests in summer and in autumn . " * 3
    asked = (
        (1, "when was the tower of brenn built", "Tower of Brenn", tower),
        (2, "whose seat was the tower of brenn", "Tower of Brenn", tower),
        (3, "when is the mill of brenn open", "Mill of Brenn", mill),
        (4, "what is too short", "Nothing", "This ."),
    )
    (folder / "qed-train.jsonlines").write_text("".join(line(*row) for row in asked), encoding="utf-8")
    return folder


@pytest.fixture
def selqa(tmp_path: Path) -> Path:
    folder = tmp_path / "selqa"
    (folder / "ass").mkdir(parents=True)
    for part, place in (("dev", "harbour"), ("test", "market")):
        told = [
            f"The {place} of Brenn is open on day {day} of the week, and {place} wardens sell tickets." for day in "abc"
        ]
        row = {
            "question": f"Who sells tickets at the {place} of Brenn?",
            "article": "Brenn",
            "section": place.title(),
            "candidates": told,
        }
        (folder / "ass" / f"selqa-ass-{part}.json").write_text(json.dumps([row]), encoding="utf-8")
    return folder


@pytest.fixture
def covidqa(tmp_path: Path) -> Path:
    """Two articles of several passages; the second holds an abstract of PubMedQA."""
    folder = tmp_path / "covidqa" / "data" / "question-answering"
    folder.mkdir(parents=True)
    facts = [
        f"Strain {name} of the virus was found in {name} bats, which live in caves of the north. " for name in "ABCDE"
    ]
    text = "".join(fact * 15 for fact in facts)
    asked = [
        {"question": f"Where was strain {name} found?", "answers": [{"answer_start": 15 * len(facts[0]) * order + 3}]}
        for order, name in enumerate("ABCDE")
    ]
    known = text + "We followed forty tea drinkers. Heart rate was read every morning."
    elsewhere = [{"question": "What was read every morning?", "answers": [{"answer_start": len(text) + 32}]}]
    data = [
        {"paragraphs": [{"context": text, "qas": asked}]},
        {"paragraphs": [{"context": known, "qas": elsewhere}]},
    ]
    (folder / "200423_covidQA.json").write_text(json.dumps({"data": data}), encoding="utf-8")
    return folder.parents[1]


@pytest.fixture
def scitldr(tmp_path: Path) -> Path:
    folder = tmp_path / "scitldr"
    (folder / "SciTLDR-Data" / "SciTLDR-A").mkdir(parents=True)
    for part, what in (("train", "pruning"), ("dev", "dropout"), ("test", "masking")):
        own = " ".join(f"{what}{letter}" for letter in "abcdefghijklmnop")  # texts too much alike are no negatives
        row = {
            "paper_id": part,
            "title": f"On the use of {what} in networks",
            "source": [
                f"We study {what} of networks.",
                f"Networks with {what} and {own} learn faster than without. " * 4,
            ],
            "target": [f"Networks that use {what} are faster.", "Another summary."],
        }
        short = {**row, "paper_id": f"{part}-short", "source": ["Too short."]}
        lines = json.dumps(row) + "\n" + json.dumps(short) + "\n"
        (folder / "SciTLDR-Data" / "SciTLDR-A" / f"{part}.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def fairytaleqa(tmp_path: Path) -> Path:
    """A story of each part, with a question about each section and one about two."""
    folder = tmp_path / "fairytaleqa" / "data-by-train-split"
    beasts = ("fox", "hare", "bear", "wolf")
    told = [f"The {beast} came to the mill, and the miller gave the {beast} a sack of flour. " * 3 for beast in beasts]
    sections = "section,text\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(told, start=1))
    asked = "question_id,local-or-sum,cor_section,question\n"
    asked += "".join(f"{n},local,{n},What did the {beast} get?\n" for n, beast in enumerate(beasts, start=1))
    asked += '5,summary,"1,2",Who came before the bear?\n'
    for part, story in (("train", "the-old-mill"), ("val", "the-well"), ("test", "the-kept-tale")):
        for kind, name, text in (("questions", "questions", asked), ("section-stories", "story", sections)):
            (folder / kind / part).mkdir(parents=True)
            (folder / kind / part / f"{story}-{name}.csv").write_text(text, encoding="utf-8")
    return folder.parent


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    """Articles as Evidence Inference keeps them; one is PubMedQA's, one has no number of PubMed, one no abstract."""
    folder = tmp_path / "trials"
    for name in ("txt_files", "xml_files"):
        (folder / "annotations" / name).mkdir(parents=True)
    prompts = ["PromptID,PMCID,Outcome,Intervention,Comparator"]
    articles = (
        (1, "101", "tea", "leaves"), (2, "22", "zinc", "metals"), (3, "33", "iron", "metals"),
        (4, "44", "salt", "herbs"), (5, "55", "mint", "herbs"), (6, None, "lime", "fruit"),
        (7, "77", "void", "nothing"),
    )  # fmt: skip
    for number, pubmed, drug, kind in articles:
        own = " ".join(f"{drug}{letter}" for letter in "abcdefghijklmnop")  # texts too much alike are no negatives
        findings = f"Nurses who took {drug}, one of the {kind}, slept an hour longer, with {own} in their blood. " * 4
        parts = f"""TITLE: \nA trial of {drug} in nurses\n\n
            ABSTRACT.BACKGROUND:\nNurses sleep badly.\n\nABSTRACT.RESULTS:\n{findings}\n
            ABSTRACT.CONCLUSIONS:\nA spoon of {drug} a day helps against poor sleep.\n\n
            ABSTRACT.TRIAL REGISTRATION:\nNCT0000000{number}\n"""
        inline = f"TITLE: A trial of {drug} in nurses\n\n{findings} A spoon of {drug} a day helps against poor sleep.\n"
        text = "TITLE: \nA trial of void in nurses\n" if drug == "void" else inline if drug == "iron" else parts
        body = "\nBODY.METHODS:\nNobody looks into the body of an article.\n"
        (folder / "annotations" / "txt_files" / f"PMC{number}.txt").write_text(text + body, encoding="utf-8")
        identity = f'<article-id pub-id-type="pmid">{pubmed}</article-id>' if pubmed else ""
        (folder / "annotations" / "xml_files" / f"PMC{number}.nxml").write_text(f"<article>{identity}</article>")
        prompts.append(f'{number},{number},"sleep, in hours",{drug} pills,a placebo')
    prompts.append("8,2,,zinc pills,a placebo")
    (folder / "annotations" / "prompts_merged.csv").write_text("\n".join(prompts), encoding="utf-8")
    return folder


@pytest.fixture
def filings(tmp_path: Path) -> Path:
    """Reports of two companies in EDGAR's format, one of them a company of FinanceBench, and one of neither."""

    def fact(name: str, value: str) -> str:
        return f'<ix:nonNumeric name="dei:{name}" contextRef="c">{value}</ix:nonNumeric>'

    def row(label: str, *figures: int) -> str:
        cells = "".join(f"<td>$</td><td>({figure:,}</td><td>)</td>" for figure in figures)
        return f'<tr><td style="x"><div>{label}</div></td>{cells}</tr>'

    def report(company: str, symbol: str) -> str:
        labels = ("Revenue from sails", "Cost of sails sold", "Research and development", "Selling and marketing",
                  "Interest expense, net", "Provision for income taxes", "Other income, net", "Net income")  # fmt: skip
        income = "".join(row(label, 1000 + n, 2000 + n) for n, label in enumerate(labels))
        assets = "".join(row(f"{name} on the shore", 30 + n, 40 + n) for n, name in enumerate(
            ("Sheds", "Slipways", "Cranes", "Moorings", "Jetties", "Lofts", "Yards")))  # fmt: skip
        end = '<hr style="page-break-after:always"/>'
        return f"""<?xml version="1.0"?><html><body>
        <div style="display:none"><ix:header><ix:hidden>{fact("DocumentFiscalYearFocus", "2023")}
        {fact("DocumentFiscalPeriodFocus", "Q2")} never to be seen</ix:hidden></ix:header></div>
        <div>Annual report of {fact("EntityRegistrantName", company)}, traded as {fact("TradingSymbol", symbol)},
        {"with a cover that is long enough to be a page of its own and says nothing. " * 3}</div>{end}
        <p><b>Consolidated Statements of Income</b></p><table>{income}</table>{end}
        <div><span style="font-weight:700">Legal Proceedings of Summer</span></div>
        <p>{"A neighbour of the loft has sued us over the noise of our sewing machines at night. " * 4}</p>
        <p>Marketing costs increased 5% in the quarter, mainly due to the boat show. {"It was well attended. " * 9}</p>
        {end}<p><b>Consolidated Balance Sheets</b></p>
        <table>{assets}{row("Total assets", 900, 800)}{row("Inventories, net", 70, 60)}</table></body></html>"""

    folder = tmp_path / "filings"
    for name, company, symbol in (("nw", "NORTHWIND SAILS, INC.", "NWS"), ("hb", "The Harbour Co.", "HBR")):
        (folder / name).mkdir(parents=True)
        (folder / name / "report.html").write_text(report(company, symbol), encoding="utf-8")
    (folder / "memo.html").write_text("<p>No report at all</p>", encoding="utf-8")
    data = tmp_path / "financebench" / "data"
    data.mkdir(parents=True)
    line = '{"company": "Harbour", "doc_name": "HARBOUR_2018_10K"}\n'
    (data / "financebench_document_information.jsonl").write_text(line, encoding="utf-8")
    return folder
