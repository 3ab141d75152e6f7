from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.task import Input, Resources, Step, Task, check_inside, task_document, task_from
from adapter.errors import TaskError

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True)
paths = st.lists(
    st.from_regex(r"[a-z *.-]{1,6}", fullmatch=True).filter(lambda part: part not in {"..", "."}),
    min_size=1,
    max_size=3,
).map("/".join)
environments = st.dictionaries(keys, words, max_size=3)
optional_paths = st.none() | paths


def documents(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A document with any of *parts*, each only where it is set."""
    return st.fixed_dictionaries({}, optional=parts)


steps = st.one_of(
    words,
    st.lists(words, min_size=1, max_size=3),
    st.builds(
        lambda own, rest: {**own, **rest},
        st.builds(lambda argv: {"argv": argv}, st.lists(words, min_size=1, max_size=3))
        | st.builds(lambda text: {"shell": text}, words),
        documents(
            env=environments,
            workdir=paths,
            stdin=paths,
            stdout=paths,
            stderr=paths,
            image=words,
            ignore_error=st.booleans(),
        ),
    ),
)
resources = documents(
    cpu=st.floats(0, 1e4) | st.integers(0, 999),
    cpu_limit=st.integers(1, 99),
    ram=st.integers(0, 2**50).map(lambda count: f"{count} B"),
    ram_limit=st.sampled_from(["1 GiB", "1.5G"]),
    disk=st.just("3 TB"),
    gpu=st.integers(0, 8),
    walltime=st.integers(0, 10**7) | st.just("1-12:00:00"),
    nodes=st.integers(1, 9),
    ranks=st.integers(1, 9),
    preemptible=st.booleans(),
    queue=words,
    account=words,
    priority=st.integers(-9, 9),
)
tasks = st.builds(
    lambda must, may: {**must, **may},
    st.fixed_dictionaries({"steps": st.lists(steps, min_size=1, max_size=3)}),
    documents(
        name=names,
        env=environments,
        workdir=st.just("/scratch/x"),
        stdin=paths,
        stdout=paths,
        stderr=paths,
        inputs=st.lists(paths, max_size=3, unique=True).map(
            lambda targets: [
                {"to": target, "content": target} if n % 2 else {"to": target, "path": "/x", "link": n > 1}
                for n, target in enumerate(targets)
            ]
        ),
        outputs=st.lists(
            paths | st.builds(lambda path, to: {"path": path, "to": to, "optional": True}, paths, paths), max_size=3
        ),
        resources=resources,
        image=words,
        tags=environments,
        allowed_exit_codes=st.lists(st.integers(0, 255), min_size=1, max_size=3),
        native=st.dictionaries(keys, st.lists(words, max_size=2), max_size=2),
    ),
)


@given(tasks)
def test_a_task_written_down_reads_back_as_itself(document: dict[str, Any]) -> None:
    task = task_from(document)
    assert task_from(json.loads(json.dumps(task_document(task)))) == task


def test_what_is_not_set_is_not_written_down() -> None:
    assert task_document(task_from({"command": "true"})) == {
        "steps": [{"shell": "true"}],
        "name": "task",
        "allowed_exit_codes": [0],
    }


def test_a_walltime_is_written_down_with_its_unit_and_read_without_one_from_earlier_versions() -> None:
    task = task_from({"command": "true", "resources": {"walltime": "5m"}})
    written = task_document(task)
    assert written["resources"] == {"walltime": "300s"}
    assert task_from({**written, "resources": {"walltime": 300}}) == task


@pytest.mark.parametrize(
    ("written", "step"),
    [
        pytest.param("a | b", Step(shell="a | b"), id="text-is-for-the-shell"),
        pytest.param(["a", 3], Step(argv=("a", "3")), id="a-list-is-words"),
        pytest.param(
            {"argv": ["a"], "env": {"N": 3, "T": True}}, Step(argv=("a",), env={"N": "3", "T": "true"}), id="texts"
        ),
        pytest.param({"shell": "", "ignore_error": True}, Step(shell="", ignore_error=True), id="empty-shell-text"),
    ],
)
def test_a_step_may_be_written_as(written: object, step: Step) -> None:
    assert task_from({"steps": [written]}).steps == (step,)
    assert task_from({"command": written}).steps == (step,)


def test_shell_text_is_run_by_sh_and_words_as_they_are() -> None:
    assert Step(shell="a b").words == ("sh", "-c", "a b")
    assert Step(argv=("a", "b c")).words == ("a", "b c")


def test_resources_take_units_and_keep_bytes_and_seconds() -> None:
    task = task_from({"command": "true", "resources": {"ram": "2 GiB", "walltime": "90m", "cpu": 0.5, "queue": "long"}})
    assert task.resources == Resources(ram_bytes=2147483648, walltime_s=5400, cpu=0.5, queue="long")
    assert task.resources.asked() == {"ram": 2147483648, "walltime": 5400, "cpu": 0.5, "queue": "long"}


def test_an_input_goes_under_its_own_name_unless_told_otherwise() -> None:
    task = task_from({"command": "true", "inputs": ["/data/a.txt", "dir/sub/", {"path": "x/y", "to": "z"}]})
    assert [(item.path, item.to) for item in task.inputs] == [
        ("/data/a.txt", "a.txt"),
        ("dir/sub/", "sub"),
        ("x/y", "z"),
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param({}, "has no steps", id="no-steps"),
        pytest.param({"steps": []}, "has no steps", id="empty-steps"),
        pytest.param({"command": []}, "a step is either argv", id="no-words"),
        pytest.param({"command": {"argv": ["a"], "shell": "a"}}, "a step is either argv", id="both"),
        pytest.param({"command": {"env": {}}}, "a step is either argv", id="neither"),
        pytest.param({"command": "a", "name": ""}, "is empty or holds a control character", id="empty-name"),
        pytest.param(
            {"command": "a", "name": "a\nb"}, r"'a\\nb' is empty or holds a control character", id="newline-in-name"
        ),
        pytest.param({"command": "a", "name": "a\x1b[2J"}, "control character", id="escape-in-name"),
        pytest.param({"command": "a", "name": "a\ud800"}, "control character|surrogate", id="half-a-character-in-name"),
        pytest.param({"command": "a", "stdout": "/etc/passwd"}, "inside the work folder", id="absolute-stdout"),
        pytest.param({"command": "a", "stdin": "../x"}, "inside the work folder", id="stdin-climbs-out"),
        pytest.param({"command": "a", "stderr": ""}, "inside the work folder", id="empty-stderr"),
        pytest.param(
            {"command": "a", "inputs": [{"path": "a", "to": "../b"}]}, "input '../b' must be", id="input-climbs-out"
        ),
        pytest.param(
            {"command": "a", "inputs": [{"path": "a", "to": "/b"}]}, "input '/b' must be", id="absolute-input"
        ),
        pytest.param({"command": "a", "inputs": ["/"]}, "input '' must be", id="the-root-folder"),
        pytest.param({"command": "a", "inputs": ["x/..", "y"]}, r"input '\.\.' must be", id="a-parent-folder"),
        pytest.param(
            {"command": "a", "inputs": ["x/f", "y/f"]}, "puts two inputs at 'f'", id="two-inputs-at-one-place"
        ),
        pytest.param(
            {"command": "a", "inputs": [{"to": "b"}]}, "needs one of path, content and url", id="input-of-nothing"
        ),
        pytest.param(
            {"command": "a", "inputs": [{"to": "b", "path": "c", "content": "d"}]},
            "needs one of path, content and url",
            id="input-of-both",
        ),
        pytest.param(
            {"command": "a", "inputs": [{"to": "b", "content": "d", "link": True}]},
            "cannot link to literal content",
            id="link-to-content",
        ),
        pytest.param(
            {"command": "a", "outputs": ["a/../../b"]}, "output .* must be a path inside", id="output-climbs-out"
        ),
        pytest.param({"command": "a", "outputs": ["/b"]}, "output '/b' must be", id="absolute-output"),
        pytest.param({"command": "a", "resources": {"ram": 5}}, "like 2 GiB", id="ram-without-unit"),
        pytest.param({"command": "a", "resources": {"walltime": "12:30"}}, "like 90m", id="doubtful-walltime"),
        pytest.param(
            {"command": "a", "env": {"A B": "x"}},
            "'A B' is not a name for an environment variable",
            id="env-name-with-a-space",
        ),
        pytest.param({"command": "a", "env": {"A;rm": "x"}}, "is not a name", id="env-name-that-is-a-command"),
        pytest.param({"command": {"shell": "a", "env": {"1A": "x"}}}, "is not a name", id="env-name-of-a-step"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_from(document)


@pytest.mark.parametrize("path", ["a", "a/b", "a..b", "..a", "-a", "a b", "a\nb", "*.txt", ".hidden"])
def test_a_path_inside_the_work_folder_is_taken(path: str) -> None:
    check_inside(path, "it")


@given(names)
def test_any_printable_name_is_taken(name: str) -> None:
    assert Task(steps=(Step(shell="true"),), name=name).name == name


def test_content_may_be_bytes_that_are_no_text() -> None:
    task = Task(steps=(Step(argv=("true",)),), inputs=(Input(to="x", content=b"\xff\0\n"),))
    document = task_document(task)
    assert document["inputs"] == [{"to": "x", "content_base64": "/wAK"}]
    assert task_from(json.loads(json.dumps(document))) == task


def test_content_in_base64_may_have_several_lines() -> None:
    task = task_from({"command": "true", "inputs": [{"to": "x", "content_base64": "/wAK\nAA==\n"}]})
    assert task.inputs[0].content == b"\xff\0\n\0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param({"content_base64": "!!"}, "content_base64 of input 'x' is not base64", id="not-base64"),
        pytest.param({"content_base64": "AA==", "content": "a"}, "needs one of content and content_base64", id="both"),
        pytest.param({"content_base64": "AA==", "path": "/a"}, "needs one of path, content and url", id="and-a-path"),
    ],
)
def test_content_in_base64_that_is_wrong_is_told(entry: dict[str, str], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        task_from({"command": "true", "inputs": [{"to": "x", **entry}]})
