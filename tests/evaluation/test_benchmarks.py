"""Readers of the development benchmarks on small folders in their real formats, whole and damaged."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from metaembed_rag.errors import InputError
from metaembed_rag.evaluation.benchmarks import READERS, Benchmark, read_benchmark

WELL = "data-by-train-split/questions/val/the-well-questions.csv"


def test_pubmedqa_leaves_the_conclusion_out(pubmedqa: Path) -> None:
    benchmark = read_benchmark("pubmedqa", pubmedqa)
    assert benchmark.queries["101"] == "Does green tea lower resting heart rate?"
    assert benchmark.documents["101"] == "We followed forty tea drinkers. Heart rate was read every morning."
    assert benchmark.relevant == {"101": {"101": 1.0}, "202": {"202": 1.0}}


def test_wikitq_reads_test_tables_only(wikitq: Path) -> None:
    benchmark = read_benchmark("wikitq", str(wikitq))
    assert set(benchmark.queries) == {"nu-0", "nu-1", "nu-2"}
    assert benchmark.documents == {
        "csv/201-csv/1.csv": "Lakes of Sund, Geography, Depth. Lake: Lake Brenn; Depth (m): 312. "
        'Lake: The "Small" Lake; Depth (m): 8.',
        "csv/201-csv/2.csv": "Haven United. Year: 1988; Goalkeeper: Ida Moss, Tor Vik. Year: 1989.",
    }
    assert benchmark.relevant["nu-1"] == {"csv/201-csv/1.csv": 1.0}


def test_wikitq_without_metadata_has_no_titles(wikitq: Path) -> None:
    (wikitq / "misc" / "table-metadata.tsv").unlink()
    documents = read_benchmark("wikitq", wikitq).documents
    assert documents["csv/201-csv/2.csv"].startswith("Year: 1988")


def test_tatqa_reads_dev_only_with_paragraphs_in_order(tatqa: Path) -> None:
    benchmark = read_benchmark("tatqa", tatqa)
    assert set(benchmark.queries) == {"dev-q1", "dev-q2", "dev-q3"}
    assert benchmark.documents["dev-t1"] == (
        "Revenue of Norrland Timber rose with prices. All figures are in millions. "
        "2019; 2018. Norrland Timber revenue; $12.5; $11.0."
    )
    assert benchmark.relevant["dev-q2"] == {"dev-t1": 1.0}


def test_qed_reads_dev_only(qed: Path) -> None:
    benchmark = read_benchmark("qed", qed)
    assert benchmark.queries == {"-7": "who dug the first canal of sund", "8": "how long is the canal of sund"}
    assert benchmark.documents == {"-7": "Anna Holm dug the first canal of Sund ( 1790 ) ; it is 12 miles long ."}
    assert benchmark.relevant["8"] == {"-7": 1.0}


def test_fairytaleqa_asks_what_training_leaves_out(fairytaleqa: Path) -> None:
    benchmark = read_benchmark("fairytaleqa", fairytaleqa)
    stories = ("the-well", "the-kept-tale")
    numbers = [f"{story}/{number}" for story in stories for number in range(1, 5)]
    assert list(benchmark.queries) == list(benchmark.documents) == numbers, "but the question about two sections"
    assert benchmark.queries["the-well/2"] == "What did the hare get?"
    assert benchmark.documents["the-kept-tale/3"].startswith("The kept tale\nThe bear came to the mill, and")
    assert benchmark.relevant["the-well/4"] == {"the-well/4": 1.0}


def test_documents_of_the_same_text_are_one(pubmedqa: Path) -> None:
    path = pubmedqa / "data" / "ori_pqal.json"
    entries = json.loads(path.read_text())
    entries["303"] = {
        "QUESTION": "Did walkers or runners keep bone density?",
        "CONTEXTS": entries["202"]["CONTEXTS"],
    }
    path.write_text(json.dumps(entries))
    benchmark = read_benchmark("pubmedqa", pubmedqa)
    assert set(benchmark.documents) == {"101", "202"}
    assert benchmark.relevant["303"] == {"202": 1.0}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pubmedqa", "data/ori_pqal.json"),
        ("wikitq", "data/pristine-unseen-tables.tsv"),
        ("wikitq", "csv/201-csv/2.csv"),
        ("tatqa", "dataset_raw/tatqa_dataset_dev.json"),
        ("qed", "qed-dev.jsonlines"),
        ("fairytaleqa", "data-by-train-split/section-stories/val/the-well-story.csv"),
    ],
)
def test_a_missing_file_is_named(name: str, file: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    (folder / file).unlink()
    with pytest.raises(InputError, match="missing: clone") as caught:
        read_benchmark(name, folder)
    assert str(folder / file) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("pubmedqa", "data/ori_pqal.json", "{", "not JSON"),
        ("pubmedqa", "data/ori_pqal.json", "[]", "expected an object"),
        ("pubmedqa", "data/ori_pqal.json", "{}", "no queries"),
        ("pubmedqa", "data/ori_pqal.json", '{"1": {"QUESTION": "why?"}}', "published format"),
        (
            "pubmedqa",
            "data/ori_pqal.json",
            '{"1": {"QUESTION": " ", "CONTEXTS": ["text"]}}',
            "query 1 has no text",
        ),
        (
            "pubmedqa",
            "data/ori_pqal.json",
            '{"1": {"QUESTION": "why?", "CONTEXTS": []}}',
            "document 1 has no text",
        ),
        (
            "tatqa",
            "dataset_raw/tatqa_dataset_dev.json",
            "version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        ("tatqa", "dataset_raw/tatqa_dataset_dev.json", '[{"questions": 3}]', "published format"),
        ("tatqa", "dataset_raw/tatqa_dataset_dev.json", "3", "published format"),
        ("wikitq", "data/pristine-unseen-tables.tsv", "", "published format"),
        ("qed", "qed-dev.jsonlines", '{"example_id": 1}\n', "published format"),
        ("qed", "qed-dev.jsonlines", "{", "not JSON"),
        ("qed", "qed-dev.jsonlines", "\n", "no queries"),
        ("fairytaleqa", WELL, "question_id\n7\n", "published format"),
        ("fairytaleqa", WELL, f"question_id,cor_section,question\n7,1,{'why ' * 40_000}\n", "published format"),
        ("fairytaleqa", WELL, "question_id,cor_section,question\n7,9,Why?\n", "the-well/9, which is missing"),
        (
            "wikitq",
            "data/pristine-unseen-tables.tsv",
            "id\tutterance\tcontext\nnu-0\tshort\n",
            "published format",
        ),
    ],
)
def test_a_malformed_file_is_named(
    name: str, file: str, text: str, message: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(name)
    (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_benchmark(name, folder)


def test_a_table_outside_the_folder_is_not_read(wikitq: Path) -> None:
    (wikitq.parent / "outside.csv").write_text('"a"\n"secret"\n')
    (wikitq / "data" / "pristine-unseen-tables.tsv").write_text(
        "id\tutterance\tcontext\ttargetValue\nnu-0\twhat is it?\tcsv/../../outside.csv\tx\n"
    )
    with pytest.raises(InputError, match="outside"):
        read_benchmark("wikitq", wikitq)


def test_text_that_is_not_utf8_is_refused(pubmedqa: Path) -> None:
    (pubmedqa / "data" / "ori_pqal.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(InputError, match="UTF-8"):
        read_benchmark("pubmedqa", pubmedqa)


def test_names_and_folders_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=", ".join(sorted(READERS))):
        read_benchmark("nope", tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_benchmark("tatqa", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("queries", "documents", "relevant", "message"),
    [
        ({}, {"d": "text"}, {}, "no queries"),
        ({"q": "text"}, {}, {}, "no documents"),
        ({"q": "text"}, {"d": "text"}, {}, "q has no relevant document"),
        ({"q": "text"}, {"d": "text"}, {"q": {"d": 0.0}}, "q has no relevant document"),
        ({"q": "text"}, {"d": "text"}, {"q": {"e": 1.0}}, "names document e"),
        ({"q": "text"}, {"d": "text"}, {"q": {"d": 1.0}, "r": {"d": 1.0}}, "query r"),
    ],
)
def test_a_benchmark_checks_itself(
    queries: dict[str, str], documents: dict[str, str], relevant: dict[str, dict[str, float]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Benchmark("small", queries, documents, relevant)


def test_a_benchmark_is_frozen(pubmedqa: Path) -> None:
    benchmark = read_benchmark("pubmedqa", pubmedqa)
    with pytest.raises(FrozenInstanceError):
        benchmark.name = "other"  # type: ignore[misc]


def test_fewer_queries_meet_all_documents(pubmedqa: Path) -> None:
    part = read_benchmark("pubmedqa", pubmedqa).only(["202"])
    assert list(part.queries) == ["202"]
    assert set(part.documents) == {"101", "202"}
    assert part.relevant == {"202": {"202": 1.0}}
