"""A value that begins with - does not become an option of the command that it stands in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.config.load import load_backend
from adapter.core.job import Job
from adapter.core.render import placed, render_job
from adapter.core.task import Step, Task
from adapter.core.template import Template
from adapter.errors import RenderError

TASK = Task(steps=(Step(argv=("true",)),))


def script(backend: str, task: Task) -> str:
    loaded = load_backend(backend, environ={}).backend
    return render_job(loaded, placed(Job(run="r", index=1, task=task), "/ws"), "/ws").script


@pytest.mark.parametrize("backend", ["docker", "docker-swarm", "podman", "kubernetes", "aws-batch"])
@pytest.mark.parametrize("image", ["--help", "docker://--privileged", "-v"])
def test_an_image_that_looks_like_an_option_is_refused(backend: str, image: str) -> None:
    with pytest.raises(RenderError, match=r"image '-.*' begins with -, and would be taken for an option"):
        script(backend, replace(TASK, image=image if "://" in image else f"docker://{image}"))


@pytest.mark.parametrize("folder", ["-", "-P", "--help"])
def test_a_folder_that_looks_like_an_option_is_a_folder(folder: str) -> None:
    assert f"cd ./{folder} " in script("local", replace(TASK, workdir=folder))
    assert f"cd ./{folder} && true)" in script("local", replace(TASK, steps=(Step(argv=("true",), workdir=folder),)))


def test_an_operand_may_not_begin_with_a_dash() -> None:
    template = Template("give {{ queue | operand }}")
    assert template.render({"queue": "long queue"}) == "give 'long queue'"
    with pytest.raises(RenderError, match="'-x' begins with -, and would be taken for an option"):
        template.render({"queue": "-x"})
