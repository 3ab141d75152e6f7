from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from adapter.config.settings import load_settings, state_dir, write_initial_config
from adapter.config.tasks import load_tasks
from adapter.errors import ConfigError


def test_words_of_a_command_are_as_they_were_written() -> None:
    (task,) = load_tasks(io.StringIO("command: [run, 1.10, 0755, true]\nenv: {A: 1.0, B: true}\n"))
    assert task.steps[0].argv == ("run", "1.10", "0755", "true")
    assert task.env == {"A": "1.0", "B": "true"}


def test_paths_here_are_seen_from_the_task_file(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "t.yaml").write_text("command: 'true'\ninputs: [in.txt]\noutputs: [a, {path: b, to: out}]\n")
    (task,) = load_tasks("t.yaml", cwd=tmp_path)
    assert [(item.path, item.to) for item in task.inputs] == [(str(tmp_path / "in.txt"), "in.txt")]
    assert [item.to for item in task.outputs] == [str(tmp_path), str(tmp_path / "out")]


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("./x.sif", "file://{here}/x.sif"),
        ("x.sif", "file://{here}/x.sif"),
        ("file://sub/x.sif", "file://{here}/sub/x.sif"),
        ("../x", "file://{here}/../x"),
        ("/x.sif", "/x.sif"),
        ("~/x.sif", "~/x.sif"),
        ("ubuntu:22.04", "ubuntu:22.04"),
        ("docker://r.example/x", "docker://r.example/x"),
    ],
)
def test_images_that_are_files_are_seen_from_the_task_file(tmp_path: Path, written: str, image: str) -> None:
    expected = image.format(here=tmp_path)
    step = f"{{shell: 'true', image: '{written}'}}"
    for text in (f"steps: [{step}]", f"command: {step}", f"command: a\nimage: '{written}'"):
        (tmp_path / "t.yaml").write_text(text)
        (task,) = load_tasks(tmp_path / "t.yaml", cwd=Path("/"))
        assert (task.image or task.steps[0].image) == expected
    (tmp_path / "t.yaml").write_text(f"tasks: [{{command: a, image: [ubuntu, '{written}']}}]")
    (task,) = load_tasks(tmp_path / "t.yaml", cwd=Path("/"))
    assert task.image == ("ubuntu", expected)


def test_defaults_lie_under_every_task_of_a_set() -> None:
    text = "defaults: {command: a, resources: {cpu: 2}}\ntasks: [{name: x}, {steps: [b, c], resources: {gpu: 1}}]\n"
    one, two = load_tasks(io.StringIO(text))
    assert (one.steps[0].shell, one.resources.cpu) == ("a", 2)
    assert ([step.shell for step in two.steps], two.resources.cpu, two.resources.gpu) == (["b", "c"], 2, 1)


def test_one_task_a_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"command": "a"}\n\n{"command": ["b"]}\n')
    assert len(load_tasks(tmp_path / "t.jsonl")) == 2


def test_the_initial_configuration_is_private_and_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.yaml"
    write_initial_config(file)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert load_settings({"ADAPTER_CONFIG": str(file)}).default_backend is None
    with pytest.raises(ConfigError, match="exists already"):
        write_initial_config(file)


def test_the_initial_configuration_explains_every_key_and_its_examples_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    write_initial_config(file)
    text = file.read_text(encoding="utf-8")
    for key, explained in (
        ("default_backend", "Backend used where none is named"),
        ("state_dir", "Folder for the store"),
        ("login_nodes", "Names of machines"),
    ):
        assert re.search(rf"^# {explained}(.*\n#)* {key}: ", text, re.MULTILINE), key
    file.write_text(re.sub(r"^# (\w+: )", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    settings = load_settings({"ADAPTER_CONFIG": str(file), "HOME": str(tmp_path)})
    assert settings.sources.keys() == {"default_backend", "state_dir", "login_nodes"}
    assert set(settings.login_nodes) == {"login*", "*.login.example.org"}


def test_the_environment_wins_over_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("default_backend: mine\nstate_dir: /state\n")
    environ = {"ADAPTER_CONFIG": str(file)}
    assert load_settings(environ).default_backend == "mine"
    assert state_dir(environ) == Path("/state")
    assert state_dir({**environ, "ADAPTER_STATE": "/other"}) == Path("/other")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        pytest.param("pipe", "it is a named pipe, and only files", id="pipe"),
        pytest.param("link-to-pipe", "it is a named pipe, and only files", id="link-to-a-pipe"),
        pytest.param("/dev/zero", "it is a device, and only files", id="device"),
    ],
)
def test_an_input_whose_reading_may_never_end_is_refused_before_anything_runs(
    tmp_path: Path, written: str, words: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link-to-pipe").symlink_to("pipe")
    file = tmp_path / "tasks.yaml"
    file.write_text(f"tasks:\n  - {{name: a, command: 'true'}}\n  - {{name: b, command: cat x, inputs: [{written}]}}\n")
    with pytest.raises(ConfigError, match=words) as refused:
        load_tasks(file)
    assert refused.value.problems[0].line == 3
