"""Advice finds its questions by their situation, never by a displayed title."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.analysis import findings as analysis
from loadtest.analysis.questions import QUESTIONS, Situation
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import read_bundle
from loadtest.report.advice import HEADINGS, advice
from loadtest.report.page import Page
from tests.support.bundles import Cell, make_bundle, matrix

EVERY_SCENARIO = matrix(
    scenarios=["hello", "wait", "connect", "cpu", "hash", "convoy", "stream"],
    connections=[100],
    loads=["rate", "flat-out"],
)


def cell_of(cell: CellPlan) -> Cell:
    return Cell(rate_hz=100.0, server_busy=0.97) if cell.load == "flat-out" else Cell()


def test_every_situation_has_a_question_and_a_heading() -> None:
    assert {question.situation for question in QUESTIONS} == {*Situation} == HEADINGS.keys()


def test_a_reworded_title_loses_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "run", EVERY_SCENARIO, cell_of))

    def lines() -> dict[str, int]:
        page = Page({"run": bundle})
        return {one.heading.title: len(one.lines) for one in advice(page.builder, page.findings)}

    before = lines()
    assert sum(before.values()) == len(QUESTIONS)
    assert before.keys() == {heading.title for heading in HEADINGS.values()}
    reworded = [replace(question, title=f"Reworded {at}") for at, question in enumerate(QUESTIONS)]
    monkeypatch.setattr(analysis, "QUESTIONS", reworded)
    assert lines() == before
