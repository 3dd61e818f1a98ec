"""The doctor: finds the healthy well, and says of the broken what to do."""

from __future__ import annotations

import json
import sys

import pytest

from metaembed_rag import MetaEmbedIndex, doctor
from metaembed_rag.cli import main
from metaembed_rag.doctor import Finding, examine, is_broken


def named(findings):
    return {finding.name: finding for finding in findings}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("METAEMBED_INDEX", raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["metaembed", "doctor", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.mark.slow
def test_a_healthy_installation_is_found_healthy(run):
    code, out, err = run("--json")
    report = json.loads(out)
    assert (code, err, report["ok"]) == (0, "", True)
    found = {entry["name"]: entry for entry in report["findings"]}
    assert {"python", "torch", "qdrant-edge-py", "model", "engine", "OCR", "disk", "memory", "index"} <= set(found)
    assert "weights verified" in found["model"]["detail"]
    assert "none at .metaembed yet" in found["index"]["detail"]
    assert found["engine"]["status"] == found["OCR"]["status"] == "ok"


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what another test looks at and takes seconds."""
    for name in ("_model", "_ocr"):
        monkeypatch.setattr(doctor, name, lambda *_: Finding("left out", "ok", ""))


def test_a_broken_engine_ends_with_exit_code_1_and_the_rest_is_still_looked_at(run, quick, monkeypatch):
    def broken(**_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr("metaembed_rag.store.open.open_engine", broken)
    code, out, _ = run()
    assert code == 1
    assert "RuntimeError: no such instruction" in out
    assert "memory" in out
    assert "1 of" in out


@pytest.mark.parametrize(("computed", "said"), [(True, "--dtype bfloat16 embeds more"), (False, "leave --dtype out")])
def test_whether_bfloat16_pays_here_is_said(quick, monkeypatch, computed, said):
    monkeypatch.setattr("metaembed_rag.embedding.dtypes.computes_bfloat16", lambda: computed)
    assert said in named(examine())["bfloat16"].detail


def test_a_missing_package_is_named_with_its_install_command(quick, monkeypatch):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("peft", "datasets") else real(name))
    found = named(examine())
    assert (found["peft"].status, found["peft"].fix.startswith('pip install "peft>=')) == ("broken", True)
    assert found["extra [train]"].status == "optional"
    assert "datasets" in found["extra [train]"].detail
    assert found["extra [train]"].fix == 'pip install "metaembed-rag[train]"'
    assert is_broken(list(found.values()))


def test_an_old_package_is_named_with_the_range_it_must_be_in(quick, monkeypatch):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "0.1" if name == "qdrant-edge-py" else real(name))
    found = named(examine())["qdrant-edge-py"]
    assert found.status == "broken"
    assert "is needed" in found.detail
    assert "qdrant-edge-py" in found.fix


def test_a_model_that_cannot_be_loaded_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "_ocr", lambda: Finding("OCR", "ok", ""))
    assert named(examine(model="no/such-model"))["model"].status == "broken"


def test_ocr_that_is_not_installed_is_optional(monkeypatch):
    monkeypatch.setattr(doctor, "_model", lambda *_: Finding("model", "ok", ""))
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    found = named(examine())["OCR"]
    assert (found.status, found.fix) == ("optional", "pip install rapidocr onnxruntime")


def test_the_index_is_opened_and_its_state_told(quick, model, tmp_path):
    path = tmp_path / "my.index"
    with MetaEmbedIndex(path, model=model) as index:
        index.add_texts(["a", "b"])
        assert "open" in named(examine(str(path)))["index"].detail
    found = named(examine(str(path)))["index"]
    assert (found.status, "2 pages of 2 documents" in found.detail) == ("ok", True)
    absent = named(examine(str(tmp_path / "absent")))["index"]
    assert (absent.status, "metaembed index" in absent.detail) == ("broken", True)
