from __future__ import annotations

import pytest

from adapter.core.other_words import meant

RESOURCES = ["cpu", "ram", "gpu", "walltime", "nodes", "ranks", "queue", "account", "disk"]


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        pytest.param("mem", "ram", id="mem"),
        pytest.param("memory", "ram", id="memory"),
        pytest.param("time", "walltime", id="time"),
        pytest.param("time-limit", "walltime", id="time-limit"),
        pytest.param("partition", "queue", id="partition"),
        pytest.param("cpus-per-task", "cpu", id="cpus-per-task"),
        pytest.param("cpus_per_task", "cpu", id="with-lines-below"),
        pytest.param("CPUS", "cpu", id="capitals"),
        pytest.param("gres", "gpu", id="gres"),
        pytest.param("ntasks", "ranks", id="ntasks"),
        pytest.param("project", "account", id="project"),
    ],
)
def test_a_resource_under_the_name_of_another_tool_is_told_ours(word: str, ours: str) -> None:
    assert meant(word, RESOURCES) == ours


@pytest.mark.parametrize(
    ("word", "known", "ours"),
    [
        pytest.param("mem", ["command", "resources"], "resources.ram", id="in-a-task"),
        pytest.param("cpu", ["command", "resources"], "resources.cpu", id="our-own-word-one-level-too-high"),
        pytest.param("mem", ["tasks", "defaults"], "defaults.resources.ram", id="in-a-set"),
        pytest.param("mem", ["submit", "defaults"], "defaults.ram", id="in-a-backend"),
        pytest.param("host", ["submit", "connection"], "connection.host", id="a-host"),
        pytest.param("cancel", ["submit", "kill", "monitor"], "kill", id="an-action"),
        pytest.param("depends_on", ["command", "after"], "after", id="an-order"),
        pytest.param("mem", ["row", "states"], None, id="no-place-for-it"),
        pytest.param("xyz", RESOURCES, None, id="no-word-of-anybody"),
    ],
)
def test_a_key_is_told_with_the_place_where_it_belongs(word: str, known: list[str], ours: str | None) -> None:
    assert meant(word, known) == ours
