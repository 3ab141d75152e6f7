"""Which backend runs an image: the protocols it takes, refusals that name the others, what is chosen by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from adapter.config.load import list_backends

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell

ONE, THREE, ALL = {"docker"}, {"docker", "library", "oras"}, {"docker", "library", "oras", "file"}
# Written by hand after what each can fetch; who is not named here runs no images.
TAKES = {
    "docker": ONE, "podman": ONE, "docker-swarm": ONE, "kubernetes": ONE, "nomad": ONE, "aws-batch": ONE,
    "google-batch": ONE, "azure-batch": ONE, "tes": THREE, "slurm-apptainer": ALL, "lsf-apptainer": ALL,
}  # fmt: skip
SCHEMES = {
    "none": ("busybox:1", "docker"), "docker": ("docker://busybox:1", "docker"),
    "library": ("library://lolcow", "library"), "oras": ("oras://r.invalid/tool:1", "oras"),
    "file": ("file:///images/tool.sif", "file"),
}  # fmt: skip
ENTRIES = list_backends(environ={})
LOADED = {entry.name: entry.backend for entry in ENTRIES if entry.backend}


def test_the_table_names_every_backend_that_runs_images(adapter: Shell) -> None:
    rows = json.loads(adapter("backends", "list", "--json").stdout)
    assert {row["name"]: set(row["images"]) for row in rows if row["images"]} == TAKES


def test_the_table_for_people_has_a_column_for_each_protocol(adapter: Shell) -> None:
    head, *rows = [line.split() for line in adapter("backends", "list", "--images").stdout.splitlines()]
    assert head == ["NAME", "docker://", "library://", "oras://", "file://"]
    shown = {
        row[0]: {word.removesuffix("://") for word, cell in zip(head[1:], row[1:], strict=True) if cell == "yes"}
        for row in rows
    }
    assert shown == TAKES


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("backend", sorted(LOADED))
def test_an_image_is_taken_or_refused_before_anything_runs(
    backend: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapter.cli.tasks.list_backends", lambda: ENTRIES)
    from adapter.cli.tasks import refuse_images
    from adapter.core.task import Step, Task
    from adapter.errors import UnsupportedImage

    image, protocol = SCHEMES[scheme]
    task = Task(name="t", steps=(Step(argv=("true",)),), image=image)
    takes = TAKES.get(backend, set())
    loaded = LOADED[backend]
    if protocol in takes:
        refuse_images(loaded, [task])
        return
    with pytest.raises(UnsupportedImage) as caught:
        refuse_images(loaded, [task])
    others = {name for name, protocols in TAKES.items() if protocol in protocols or (scheme == "none" and protocols)}
    named = set(str(caught.value).rpartition("backends that take it: ")[2].split(", "))
    assert named == others
    assert image in str(caught.value)


def test_a_refusal_is_an_error_of_the_task_and_nothing_is_written_down(adapter: Shell) -> None:
    refused = adapter("run", "--on", "docker", "--image", "file:///x.sif", "--", "true")
    assert refused.returncode == 3
    assert "backend docker cannot run image file:///x.sif (task 'true')" in refused.stderr
    assert "backends that take it: lsf-apptainer, slurm-apptainer" in refused.stderr
    assert json.loads(adapter("status", "--json").stdout) == []


def test_several_images_are_refused_only_if_none_is_taken(adapter: Shell, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text('format: 1\ncommand: "true"\nimage: [file:///x.sif, docker://busybox]\n')
    shown = adapter("render", "t.yaml", "--on", "docker", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "x.sif" not in shown.stdout


# ---- what is chosen where nobody names a backend --------------------------------------------------------------------


def with_programs(shell: Shell, folder: Path, **programs: int) -> None:
    """Put stand-ins in front of the PATH: each ends with the exit code given, whatever it is asked."""
    (folder / "bin").mkdir()
    for name, code in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (folder / "bin" / name).chmod(0o755)
    shell.environ["PATH"] = f"{folder / 'bin'}:{shell.environ['PATH']}"


@pytest.mark.parametrize(
    ("programs", "chosen"),
    [
        ({"docker": 0, "podman": 0}, "docker"),
        ({"docker": 1, "podman": 0}, "podman"),
        ({"docker": 0, "podman": 1}, "docker"),
    ],
)
def test_an_image_goes_to_what_the_machine_has(
    adapter: Shell, tmp_path: Path, programs: dict[str, int], chosen: str
) -> None:
    with_programs(adapter, tmp_path, **programs)
    shown = adapter("render", "--image", "busybox", "--", "true")
    assert shown.returncode == 0, shown.stderr
    assert (
        f"adapter: on {chosen} (no --on, and no default_backend in your configuration; the task has an image"
        in shown.stderr
    )


def test_an_image_that_nothing_here_can_run_is_an_error_that_says_so(adapter: Shell, tmp_path: Path) -> None:
    with_programs(adapter, tmp_path, docker=1, podman=1)
    shown = adapter("run", "--image", "busybox", "--", "true")
    assert shown.returncode == 2
    assert "the task has an image, and here docker and podman cannot be used; name another with --on" in shown.stderr


def test_a_task_without_an_image_stays_on_this_machine(adapter: Shell, tmp_path: Path) -> None:
    with_programs(adapter, tmp_path, docker=0, podman=0)
    shown = adapter("run", "--", "echo", "hello")
    assert (shown.returncode, shown.stdout) == (0, "hello\n")
    assert "adapter: on local (no --on, and no default_backend in your configuration)" in shown.stderr


def test_a_default_of_ones_own_wins(adapter: Shell, tmp_path: Path) -> None:
    with_programs(adapter, tmp_path, docker=0)
    config = tmp_path / "config.yaml"
    config.write_text("default_backend: podman\n")
    adapter.environ["ADAPTER_CONFIG"] = str(config)
    shown = adapter("render", "--image", "busybox", "--", "true")
    assert f"adapter: on podman (default_backend in {config})" in shown.stderr
