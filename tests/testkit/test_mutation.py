"""The mutation proof, a sample of it: the whole is ``python -m tests.mutation`` (docs/testing.md)."""

from __future__ import annotations

import random

import pytest

from adapter.testkit.capture import Found
from tests.mutation.__main__ import LEAST_BREAKS, main
from tests.mutation.kit import Kit, kit, names, try_one
from tests.mutation.operators import OPERATORS, mutations

SAMPLED = ("slurm", "tes", "at")
OF_EACH = 12
LEAST_OF_SAMPLE = 0.9  # the whole has its own bound; a dozen may hold a survivor


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sample_of_the_breaks_is_caught(name: str) -> None:
    count = len(mutations(name, kit(name).merged.document))
    drawn = random.Random(f"sample {name}").sample(range(count), OF_EACH)
    tried = [try_one(name, index) for index in drawn]
    survivors = [f"{one.kind}: {one.what}" for one in tried if one.caught_by is None]
    assert len(survivors) <= OF_EACH * (1 - LEAST_OF_SAMPLE), survivors


def test_a_file_as_it_is_is_caught_by_nothing() -> None:
    whole = kit("at")
    assert whole.red == frozenset()
    assert whole.caught_by(whole.merged.document) is None


@pytest.mark.parametrize("name", names())
def test_there_are_enough_ways_to_break_each_backend_and_each_changes_it(name: str) -> None:
    document = kit(name, look=False).merged.document
    tried = mutations(name, document)
    assert len(tried) >= LEAST_BREAKS
    assert all(each.document != document for each in tried)
    assert len({(each.kind, each.what) for each in tried}) == len(tried)


def test_the_same_breaks_are_drawn_each_time() -> None:
    document = kit("pbs", look=False).merged.document
    first, second = ([(each.kind, each.what) for each in mutations("pbs", document)] for _ in range(2))
    assert first == second


def test_a_rule_that_is_taken_out_of_the_kit_lets_breaks_through(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kit("slurm", look=False)
    bare = Kit(whole.merged, Found(), frozenset())
    raw = [
        each
        for each in mutations("at", whole.merged.document, every=True)
        if each.what == "submit.command: {{ script }} raw"
    ]
    assert (bare.caught_by(raw[0].document) or "").startswith("rule quoting: ")
    monkeypatch.setattr("tests.mutation.kit.RULES", {})
    assert bare.caught_by(raw[0].document) is None


def test_every_way_to_break_fits_some_backend() -> None:
    fits = {
        operator
        for name in names()
        for operator in OPERATORS
        if next(operator(kit(name, look=False).merged.document), None)
    }
    assert {operator.__name__ for operator in OPERATORS} - {operator.__name__ for operator in fits} == set()


def test_too_few_caught_is_an_exit_code_of_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.mutation.__main__.LEAST_SCORE", 1.01)
    assert main(["local", "--jobs", "1"]) == 1
    assert "caught: " in capsys.readouterr().out
