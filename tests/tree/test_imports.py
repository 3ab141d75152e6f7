"""No circle of imports, those for type checkers counted, too."""

from __future__ import annotations

import pytest

from tests.tree.imports import circles, imports


def test_no_modules_import_each_other() -> None:
    graph = imports()
    assert len(graph) > 100
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        pytest.param({"a": {"b"}, "b": {"c"}, "c": set()}, [], id="none"),
        pytest.param({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]], id="two"),
        pytest.param({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"d"}}, [["a", "b", "c"], ["d"]], id="three-and-itself"),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], found: list[list[str]]) -> None:
    assert circles(graph) == found


def test_the_test_kit_is_smaller_than_the_core() -> None:
    from tests.tree.imports import modules

    sizes = {"core": 0, "testkit": 0}
    for name, path in modules().items():
        package = name.split(".")[1] if "." in name else ""
        if package in sizes:
            sizes[package] += path.stat().st_size
    assert 0 < sizes["testkit"] < sizes["core"]
