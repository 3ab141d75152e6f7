"""Images: protocols are data, and one that a backend does not take is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from adapter.core.image import named, split
from adapter.core.render import render_job
from adapter.errors import RenderError, UnsupportedImage, UnsupportedResource

from .samples import job_of, toy

BOX: dict[str, Any] = {
    "images": {"docker": "{{ name }}", "oras": "oras://{{ name }}", "file": "{{ name }}"},
    "launch": {
        "setup": "box_up() { :; }\n",
        "command": "box {{ options }} {{ images | words }} -- {{ argv | words }}",
        "options": {"gpu": "--gpus {{ gpu }}"},
    },
}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ubuntu:22.04", (None, "ubuntu:22.04")),
        ("localhost:5000/a/b@sha256:0f", (None, "localhost:5000/a/b@sha256:0f")),
        ("docker://ubuntu", ("docker", "ubuntu")),
        ("library://a/b/c:1", ("library", "a/b/c:1")),
        ("file:///images/a b.sif", ("file", "/images/a b.sif")),
        ("/images/x", ("file", "/images/x")),
        ("./x.img", ("file", "./x.img")),
        ("../x", ("file", "../x")),
        ("~/x", ("file", "~/x")),
        ("images/x.sif", ("file", "images/x.sif")),
        ("r.example/x.sif:1", (None, "r.example/x.sif:1")),
    ],
)
def test_an_image_is_a_protocol_and_a_name(image: str, expected: tuple[str | None, str]) -> None:
    assert split(image) == expected


def test_the_backend_says_how_an_image_is_written_and_which_it_takes() -> None:
    asked = ("library://x", "ubuntu", "oras://r/y", "file:///i.sif")
    assert named(toy(**BOX), asked, "t") == ["ubuntu", "oras://r/y", "/i.sif"]


def test_an_image_without_a_protocol_is_of_the_first_that_the_backend_lists() -> None:
    assert named(toy(images={"oras": "oras:{{ name }}", "docker": "{{ name }}"}), "x", "t") == ["oras:x"]


def test_images_of_other_protocols_are_refused_with_those_it_takes() -> None:
    with pytest.raises(
        UnsupportedImage, match=r"of the image protocols it takes docker://, oras://, file://"
    ) as caught:
        render_job(toy(**BOX), job_of({"command": "true", "image": "library://x"}), "/ws")
    assert caught.value.protocols == ("library",)


@pytest.mark.parametrize("image", ["./x.sif", "x.sif", "file://x.sif"])
def test_a_file_that_a_job_would_see_from_nobody_knows_where_is_refused(image: str) -> None:
    with pytest.raises(RenderError, match=r"x\.sif \(task 'sh'\) is no whole path"):
        render_job(toy(**BOX), job_of({"command": "true", "name": "sh", "image": image}), "/ws")


def test_a_step_with_an_image_is_launched_in_it_and_one_without_is_not() -> None:
    task = {"steps": [{"argv": ["a", "b c"], "image": "i:1", "env": {"K": "v w"}, "stdout": "o"}, "plain"]}
    script = render_job(toy(**BOX), job_of(task), "/ws").script
    assert "(stay; export K='v w'; box  i:1 -- a 'b c' >o) || step_failed || return" in script
    assert "sh -c plain || step_failed || return" in script


def test_what_the_launch_options_name_is_possible() -> None:
    task = {"command": "true", "image": "i", "resources": {"gpu": 2}}
    assert "box --gpus 2 i -- sh -c true" in render_job(toy(**BOX), job_of(task), "/ws").script
    with pytest.raises(UnsupportedResource, match="no way to ask for gpu"):
        render_job(toy(), job_of({"command": "true", "resources": {"gpu": 2}}), "/ws")


def test_where_an_image_is_required_a_task_without_one_is_refused() -> None:
    with pytest.raises(UnsupportedResource, match="runs containers only, and task 'sh' has a step without an image"):
        render_job(toy(**BOX, requires=["image"]), job_of({"command": "true", "name": "sh"}), "/ws")


def test_a_site_may_have_an_image_for_all() -> None:
    backend = toy(**BOX, requires=["image"], values={"image": "site:1"})
    assert "box  site:1 -- sh -c true" in render_job(backend, job_of({"command": "true"}), "/ws").script


@pytest.mark.parametrize(
    ("task", "named_in"),
    [
        ({"volumes": ["/scratch"]}, "volumes"),
        ({"inputs": [{"url": "s3://b/x", "to": "x"}]}, "inputs by url"),
        ({"outputs": [{"path": "x", "url": "s3://b/x"}]}, "outputs by url"),
    ],
)
def test_what_only_services_can_do_is_refused_elsewhere(task: dict[str, Any], named_in: str) -> None:
    with pytest.raises(UnsupportedResource, match=f"no way to ask for {named_in}"):
        render_job(toy(), job_of({"command": "true", **task}), "/ws")
