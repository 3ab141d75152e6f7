"""A service's document: rendered leaf by leaf, never glued from text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.document import document_from
from adapter.errors import RenderError


def rendered(structure: Any, **values: Any) -> Any:
    return json.loads(document_from(structure).render(values))


@pytest.mark.parametrize(
    ("leaf", "value", "expected"),
    [
        pytest.param("{{ x }}", 3, 3, id="a-number-stays-one"),
        pytest.param("{{ x }}", True, True, id="so-does-a-truth"),
        pytest.param("{{ x }}", ["a b", "c"], ["a b", "c"], id="and-a-list"),
        pytest.param("{{ x }}", {"K": "v"}, {"K": "v"}, id="and-a-map"),
        pytest.param("{{ x | ceil }}", 1.5, 2, id="through-a-filter"),
        pytest.param("{{ x ~ '' }}", 3, "3", id="a-text-on-demand"),
        pytest.param("id-{{ x }}", 3, "id-3", id="text-around-makes-text"),
        pytest.param("id-{{ x }}", "it's $(x)", "id-it's $(x)", id="nothing-is-quoted-for-a-shell"),
        pytest.param("{{ x }}{{ x }}", "a", "aa", id="two-expressions-are-text"),
        pytest.param("plain", None, "plain", id="a-text-without-any"),
        pytest.param(7, None, 7, id="a-number-as-written"),
    ],
)
def test_a_leaf_keeps_its_type(leaf: Any, value: Any, expected: Any) -> None:
    assert rendered({"leaf": leaf}, x=value) == {"leaf": expected}


def test_what_is_not_set_drops_its_key_and_what_is_emptied_by_that_goes_too() -> None:
    structure = {"a": "{{ x }}", "b": {"c": "{{ x }}", "d": None}, "e": ["{{ x }}"], "kept": {}, "also": [], "f": 1}
    assert rendered(structure, x=None) == {"kept": {}, "also": [], "f": 1}


def test_for_makes_a_list_and_when_keeps_a_map() -> None:
    structure = {
        "env": {"$for": "name, value in env | items", "$item": {"name": "{{ name }}", "value": "{{ value }}"}},
        "steps": {"$for": "step in steps", "$item": {"argv": "{{ step }}", "first": "{{ step == steps[0] }}"}},
        "none": {"$for": "step in nothing", "$item": "{{ step }}"},
        "gpu": {"$when": "gpu", "count": "{{ gpu }}"},
        "big": {"$when": "cpu > 8", "class": "big"},
    }
    values = {"env": {"A": "1", "B": "x y"}, "steps": [["true"], ["false"]], "nothing": [], "gpu": 2, "cpu": 4}
    assert rendered(structure, **values) == {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "x y"}],
        "steps": [{"argv": ["true"], "first": True}, {"argv": ["false"], "first": False}],
        "gpu": {"count": 2},
    }


def test_the_variables_are_known_without_those_of_the_loops() -> None:
    structure = {"x": {"$for": "s in steps", "$item": {"a": "{{ s.argv }}", "b": "{{ run }}", "$when": "s and gpu"}}}
    assert document_from(structure).variables == {"steps", "run", "gpu"}


@given(st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_any_text_arrives_as_it_is(text: str, words: list[str], pairs: dict[str, str]) -> None:
    structure = {
        "text": "{{ text }}",
        "words": ["{{ words }}", "-{{ text }}-"],
        "pairs": {"$for": "k, v in pairs | items", "$item": ["{{ k }}", "{{ v }}"]},
    }
    expected: dict[str, Any] = {"text": text, "words": [words, f"-{text}-"]}
    if pairs:
        expected["pairs"] = [[key, value] for key, value in pairs.items()]
    assert rendered(structure, text=text, words=words, pairs=pairs) == expected


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(RenderError, match="'nosuch' is undefined"):
        rendered({"a": "{{ nosuch }}"})


def test_a_loop_has_a_form() -> None:
    with pytest.raises(ValueError, match="write it like 'step in steps'"):
        document_from({"$for": "steps", "$item": 1})
