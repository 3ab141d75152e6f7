"""Where outputs come to here: who writes them, who reads them, and the names of those that may not replace another."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest

from adapter.core.local_files import Claim, Makers, beside, from_here, missing_input, reading_hints, writer_problems
from adapter.core.task import Task, task_from
from adapter.errors import TaskError

HERE = "/here"


def run_of(*documents: dict[str, Any]) -> list[Task]:
    tasks = [task_from({"command": "true", "name": f"t{n}", **each}) for n, each in enumerate(documents, 1)]
    return [from_here(task, n, lambda path: posixpath.join(HERE, path)) for n, task in enumerate(tasks, 1)]


def same(path: str) -> str:
    """Two spellings of a path are one; ``/link`` leads to ``/here``."""
    return posixpath.normpath(path).replace("/link", HERE)


def out(path: str, to: str = ".") -> dict[str, Any]:
    return {"outputs": [{"path": path, "to": to}]}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(out("out.txt"), out("out.txt"), id="the-same-words"),
        pytest.param(out("out.txt"), out("./out.txt"), id="a-dot-before-it"),
        pytest.param(out("a/out.txt"), out("out.txt", "a"), id="the-folder-in-the-path"),
        pytest.param(out("out.txt", "x/../a"), out("out.txt", "a"), id="there-and-back"),
        pytest.param(out("out.txt", "/link"), out("out.txt", "/here"), id="a-linked-folder"),
        pytest.param(out("out.txt", "r{{ index }}"), out("out.txt", "r2"), id="a-template-that-gives-it"),
        pytest.param(
            {"name": "a/b", **out("o", "{{ name }}")}, {"name": "a_b", **out("o", "{{ name }}")}, id="names-that-meet"
        ),
        pytest.param(
            {"outputs": [{"path": "o", "url": "s3://x/o"}]}, {"outputs": [{"path": "p", "url": "s3://x/o"}]}, id="a-url"
        ),
    ],
)  # fmt: skip
def test_two_tasks_that_write_one_file_are_told(one: dict[str, Any], two: dict[str, Any]) -> None:
    ((number, place, message),) = writer_problems(run_of({}, one, two), same)
    assert (number, place) == (2, 0)
    assert "(number 2)" in message
    assert "(number 3)" in message


def test_many_tasks_that_write_one_file_are_one_mistake() -> None:
    ((number, _, message),) = writer_problems(run_of(*[out("out.txt")] * 200), same)
    assert number == 1
    assert "out.txt, as do 198 more; give each its own folder" in message


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(out("out.txt", "results/{{ name }}"), out("out.txt", "results/{{ name }}"), id="folders-by-name"),
        pytest.param(out("out.txt", "r{{ index }}"), out("out.txt", "r{{ index }}"), id="folders-by-index"),
        pytest.param(out("*.txt"), out("*.txt"), id="patterns"),
        pytest.param(out("results/"), out("results/"), id="folders"),
        pytest.param(out("A.txt"), out("a.txt"), id="another-case"),
        pytest.param({"workdir": "/w", **out("o")}, {"workdir": "/w", **out("o")}, id="one-file-there-too"),
        pytest.param({"outputs": ["o", "o"]}, {}, id="one-task-twice"),
    ],
)
def test_what_may_well_be_several_files_is_not_refused(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert list(writer_problems(run_of(one, two), same)) == []


@pytest.mark.parametrize(
    ("name", "to", "folder"),
    [
        pytest.param("align", "results/{{ name }}", "/here/results/align", id="name"),
        pytest.param("align", "/r/{{ index }}-{{ name }}", "/r/1-align", id="index-in-an-absolute-path"),
        pytest.param("a/../../b", "r/{{ name }}", "/here/r/a_.._.._b", id="slashes"),
        pytest.param("..", "r/{{ name }}", "/here/r/__", id="the-folder-above"),
        pytest.param(".", "r/{{ name }}", "/here/r/_", id="the-folder-itself"),
        pytest.param("{{ index }}", "r/{{ name }}", "/here/r/{{ index }}", id="a-name-is-filled-in-once"),
        pytest.param("$(x) ~", "{{ name }}", "/here/$(x) ~", id="no-shell-reads-it"),
    ],
)
def test_the_folder_of_an_output_is_filled_in_and_a_name_stays_in_it(name: str, to: str, folder: str) -> None:
    (task,) = run_of({"name": name, **out("o", to)})
    assert task.outputs[0].to == folder
    again = from_here(task, 7, lambda path: path)
    assert again.outputs[0].to == folder, "what was filled in once is a path"
    assert (
        task_from({"command": "x", "outputs": [{"path": "o", "to": folder, "literal": True}]}).outputs[0].to == folder
    )


@pytest.mark.parametrize(
    ("to", "message"),
    [
        pytest.param("r/{{ nmae }}", "unknown variable 'nmae'; did you mean 'name'?", id="unknown"),
        pytest.param("r/{{ cpu }}", "unknown variable 'cpu'; known: index, name", id="nothing-near"),
        pytest.param("r/{{ name", "cannot be read as a template", id="not-closed"),
        pytest.param("r/{% if name %}", "cannot be read as a template", id="statement"),
    ],
)
def test_a_folder_that_cannot_be_filled_in_is_refused_when_it_is_read(to: str, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        task_from({"command": "true", **out("o", to)})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("output", "taken", "meets"),
    [
        pytest.param(out("out.txt"), "out.txt", True, id="the-file"),
        pytest.param(out("out.txt", "results"), "results", True, id="the-folder-around-it"),
        pytest.param(out("out.txt", "results"), ".", True, id="a-folder-far-above"),
        pytest.param(out("*.txt", "results"), "results/a.txt", True, id="what-a-pattern-may-bring"),
        pytest.param(out("sub", "results"), "results/sub/deep/a.txt", True, id="inside-a-folder-that-is-brought"),
        pytest.param(out("**/*.txt", "results"), "results/x/y", True, id="any-depth"),
        pytest.param(out("*/x.txt"), "a", True, id="a-folder-that-a-pattern-reaches-into"),
        pytest.param(out("o.txt", "/link"), "o.txt", True, id="through-a-link"),
        pytest.param(out("out.txt", "results"), "results/other.txt", False, id="a-neighbour"),
        pytest.param(out("*.txt", "results"), "results/a.csv", False, id="what-a-pattern-does-not-bring"),
        pytest.param(out("out.txt"), "out.txt.gz", False, id="a-longer-name"),
        pytest.param(out("out", "results"), "results2", False, id="a-folder-of-a-longer-name"),
        pytest.param({"outputs": [{"path": "o", "url": "s3://x/here/o"}]}, "o", False, id="a-url"),
    ],
)
def test_an_input_that_another_task_brings_is_seen(output: dict[str, Any], taken: str, *, meets: bool) -> None:
    tasks = run_of(
        {"name": "part", **output}, {"name": "sum", "inputs": [{"path": taken, "to": "x"}], "after": ["part"]}
    )
    makers = Makers(tasks, same)
    assert makers.names_of(1) == (("part",) if meets else ())
    assert makers.names_of(0) == ()
    if taken != ".":
        assert (missing_input(taken, makers.of(1, tasks[1].inputs[0])) is None) == meets


def test_a_task_far_before_counts_and_one_beside_does_not() -> None:
    first = {"name": "first", **out("a.txt")}
    middle = {"name": "middle", "after": ["first"]}
    last = {"name": "last", "after": ["middle"], "inputs": ["a.txt", "b.txt"]}
    tasks = run_of(first, middle, last, {"name": "beside", **out("b.txt")})
    makers = Makers(tasks, same)
    assert makers.names_of(2) == ("first",)
    assert missing_input("b.txt", makers.of(2, tasks[2].inputs[1])) == (
        "no input file b.txt, which task 'beside' makes; add after: [beside]"
    )
    assert reading_hints(tasks, same) == [
        "task 'last' reads /here/b.txt, which task 'beside' makes; add after: [beside]"
    ]


def test_a_task_that_reads_where_it_writes_itself_is_told_nothing() -> None:
    assert reading_hints(run_of({"inputs": ["."], **out("o")}), same) == []


def test_ten_thousand_tasks_are_compared_in_no_time() -> None:
    parts = [{"name": "part", "inputs": ["in"], **out("*.txt", f"r/{n}")} for n in range(10_000)]
    tasks = run_of(*parts, {"name": "sum", "after": ["part"], "inputs": ["r"]})
    looked = 0

    def counting(path: str) -> str:
        nonlocal looked
        looked += 1
        return path

    makers = Makers(tasks, counting)
    assert makers.names_of(10_000) == ("part",)
    assert list(writer_problems(tasks, counting)) == []
    assert looked <= 4 * 10_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("out.txt", "out.k.2.txt", id="ending"),
        pytest.param("log", "log.k.2", id="none"),
        pytest.param("a.tar.gz", "a.tar.k.2.gz", id="two-endings"),
        pytest.param(".rc", ".rc.k.2", id="a-hidden-file"),
    ],
)
def test_the_name_beside_another_keeps_its_ending(name: str, expected: str) -> None:
    assert beside(name, "k.2") == expected


def test_a_file_is_shared_with_other_attempts_and_with_who_brings_the_same_file() -> None:
    claim = Claim(1, "/w/1/work/o")
    assert claim.is_shared_with(Claim(1, "/w/1.2/work/o"))
    assert claim.is_shared_with(Claim(2, "/w/1/work/o"))
    assert not claim.is_shared_with(Claim(2, "/w/2/work/o"))
