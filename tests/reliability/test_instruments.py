"""The drills see what they look for: a wrong index, a lost document or a leak does not pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from metaembed_rag.errors import CorruptDocumentError

from .fuzz.runner import FuzzReport, record
from .kills.drill import KillReport, read_log, verify
from .kills.operations import State, Step, Version, carry_out
from .kills.subject import StoreSubject
from .leaks import LeakReport
from .threads import Ledger


@pytest.fixture
def subject(tmp_path):
    opened = StoreSubject(tmp_path / "index", "edge")
    opened.write({"d0": Version(1, (1, 2, 3)), "t0": Version(2, (1,))})
    yield opened
    opened.close()


STATE = State({"d0": Version(1, (1, 2, 3)), "t0": Version(2, (1,))})


def test_what_was_written_passes_and_is_counted(subject):
    report = KillReport()
    assert verify(subject, STATE, None, report) == STATE
    assert (report.pages, report.vectors) == (4, 7 * 93)


@pytest.mark.parametrize(
    "wrong",
    [
        State({**STATE.documents, "d1": Version(3, (1,))}),
        State({"d0": STATE.documents["d0"]}),
        State({**STATE.documents, "d0": Version(1, (1, 2))}),
        State({**STATE.documents, "d0": Version(9, (1, 2, 3))}),
        State(STATE.documents, tokens=16),
        State(STATE.documents, calibration=1),
    ],
    ids=["lost", "stranger", "one page too many", "old version", "resized", "calibrated"],
)
def test_another_state_does_not_pass(subject, wrong):
    with pytest.raises(AssertionError):
        verify(subject, wrong, None, KillReport())


def test_an_interrupted_step_may_have_taken_effect_or_not_but_not_by_half(subject):
    step = Step("delete_pages", {"d0": Version(1, (3,))}, {"pages": {"d0": [1, 2]}})
    assert verify(subject, STATE, step, KillReport()) == STATE
    subject.apply(step)
    assert verify(subject, STATE, step, KillReport()) == carry_out(STATE, step)
    subject.delete(["d0/3"])
    with pytest.raises(AssertionError):
        verify(subject, STATE, step, KillReport())


@pytest.mark.parametrize("vector", ["meta_1", "meta_8", "meta_64"])
def test_a_vector_that_changed_is_seen(subject, vector, monkeypatch):
    right = subject.vectors()

    def changed():
        rows = right["d0/2"][0][vector].copy()
        rows[-1, -1] += 1e-6
        return {**right, "d0/2": {0: {**right["d0/2"][0], vector: rows}}}

    monkeypatch.setattr(subject, "vectors", changed)
    with pytest.raises(AssertionError, match=f"d0/2: {vector} is off by"):
        verify(subject, STATE, None, KillReport())


def test_leftovers_are_seen(subject):
    subject.store._engine.set_payload({"state": "pending"}, [])  # no point at all: changes nothing
    verify(subject, STATE, None, KillReport())
    point = next(iter(subject.store._engine.scroll(subject_filter("t0"))))[0]
    subject.store._engine.set_payload({"state": "pending"}, [point])
    with pytest.raises(AssertionError):
        verify(subject, STATE, None, KillReport())


def subject_filter(document):
    from metaembed_rag.store.filters import match

    return match("kind", "page") & match("document", document)


def test_a_log_that_was_cut_tells_what_is_certain():
    one, two = Step("settle"), Step("add", {"t0": Version(1, (1,))})
    text = f"opening\nready\nbegin {one.to_json()}\ndone {one.to_json()}\nbegin {two.to_json()}\ndone {two.to_json()}"
    said = read_log(text)
    assert (said.opened, said.done, said.interrupted) == (True, [one], two)
    assert read_log("opening\nread").opened is False


def test_an_answer_may_be_as_old_as_the_question_and_no_older():
    ledger = Ledger()
    ledger.begin("d0", 1, ("a",))
    ledger.done("d0")
    asked = time.monotonic()
    ledger.begin("d0", 2, ("b",))
    during = time.monotonic()
    assert [version.number for version in ledger.allowed("d0", asked, during)] == [1, 2]
    ledger.done("d0")
    time.sleep(0.001)
    later = time.monotonic()
    assert [version.number for version in ledger.allowed("d0", later, later)] == [2]
    assert [version.number for version in ledger.allowed("d0", asked, later)] == [1, 2]


def test_slow_and_large_inputs_are_findings():
    report = FuzzReport()
    fine = {"end": 1, "outcome": CorruptDocumentError.__name__, "trace": "", "seconds": 1.0, "bytes": 1000}
    record(report, fine, 2.0, 2000)
    assert report.failures == []
    record(report, {**fine, "end": 2, "seconds": 3.0}, 2.0, 2000)
    record(report, {**fine, "end": 3, "bytes": 3000}, 2.0, 2000)
    record(report, {**fine, "end": 4, "outcome": "failure", "trace": "KeyError"}, 2.0, 2000)
    assert [number for number, _ in report.failures] == [2, 3, 4]


def test_a_leak_is_the_slope_and_noise_is_not():
    megabyte = 1 << 20
    assert LeakReport([0, megabyte, 2 * megabyte, 3 * megabyte]).per_hundred == pytest.approx(megabyte)
    assert abs(LeakReport([100, 0, 100, 0, 100]).per_hundred) < 50


def test_no_figure_names_a_machine_or_a_folder():
    from .results import describe_machine

    described = describe_machine()
    assert "cores of" in described
    assert str(Path.home()) not in described
