from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from adapter.core.template import Template, quoting_defeat

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE_HOME = "/home/it's me/$(touch oops)"
TARGET = {"HOME": HOSTILE_HOME, "USER": "me", "PATH": os.environ["PATH"]}


def words_on_target(text: str, folder: Path, **values: object) -> list[str]:
    """Return the words that the target's shell makes of the command line *text*."""
    command = "printf '%s\\0' " + Template(text).render(values)
    done = subprocess.run(["sh", "-c", command], env=TARGET, cwd=folder, capture_output=True, text=True, check=True)
    assert list(folder.iterdir()) == [], "the shell acted upon a value"
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param("~/images", f"{HOSTILE_HOME}/images", id="home"),
        pytest.param("~", HOSTILE_HOME, id="home-itself"),
        pytest.param("/scratch/$USER/x", "/scratch/me/x", id="variable"),
        pytest.param("/scratch/${USER}x", "/scratch/mex", id="braces"),
        pytest.param("$HOME:/h", f"{HOSTILE_HOME}:/h", id="what-stands-behind-a-colon-stays"),
        pytest.param("/a b/$(touch oops)/`x`;y", "/a b/$(touch oops)/`x`;y", id="the-rest-is-literal"),
        pytest.param("/data/~/x", "/data/~/x", id="a-tilde-elsewhere-is-literal"),
        pytest.param("~root/x", "~root/x", id="another-user-s-home-is-literal"),
        pytest.param("/a'b\"c\\d*", "/a'b\"c\\d*", id="quotes"),
        pytest.param("/a$1/$*/$é/${x:-y}/$", "/a$1/$*/$é/${x:-y}/$", id="a-dollar-without-a-name-is-literal"),
        pytest.param("/a\nb/$USER", "/a\nb/me", id="line-break"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_path_is_expanded_by_the_target_s_shell_and_stays_one_word(value: str, path: str, tmp_path: Path) -> None:
    assert words_on_target("{{ value | path }} end", tmp_path, value=value) == [path, "end"]


def test_each_path_of_a_list_is_expanded_and_what_is_put_in_front_of_it_is_quoted(tmp_path: Path) -> None:
    mounts = ["~/data:/data:ro", "/a b:/$USER", "$(touch oops):/x"]
    text = "{{ mounts | map('path') | between('--bind of=', ' $end') | words }}"
    assert words_on_target(text, tmp_path, mounts=mounts) == [
        f"--bind of={HOSTILE_HOME}/data:/data:ro $end",
        "--bind of=/a b:/me $end",
        "--bind of=$(touch oops):/x $end",
    ]


def test_a_path_put_together_with_other_texts_is_one_word_in_which_the_others_are_literal(tmp_path: Path) -> None:
    text = "{{ ['--src=', source | path, ',dst=', name] | concat }}"
    assert words_on_target(text, tmp_path, source="~/x", name="$USER b") == [f"--src={HOSTILE_HOME}/x,dst=$USER b"]


def test_a_name_that_is_not_set_on_the_target_is_an_error_that_says_it() -> None:
    text = "echo " + Template("{{ value | path }}").render({"value": "$SCRATCH/x"})
    done = subprocess.run(["sh", "-c", text], env=TARGET, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "SCRATCH: is not set on the target" in done.stderr


@pytest.mark.parametrize(
    ("text", "defeated"),
    [
        pytest.param("cmd --cache={{ value | path }}", None, id="bare"),
        pytest.param('cache={{ value | path }}; cd "$cache"', None, id="assignment"),
        pytest.param('cmd "{{ value | path }}"', "value", id="in-double-quotes"),
        pytest.param("cmd '{{ value | path }}'", "value", id="in-single-quotes"),
        pytest.param("cmd {{ value | path | raw }}", None, id="raw-adds-nothing"),
    ],
)
@pytest.mark.parametrize("value", ["text", "~/text", "$HOME/text"])
def test_the_quoting_proof_takes_a_path_and_refuses_one_inside_quotes(
    text: str, defeated: str | None, value: str
) -> None:
    assert quoting_defeat(Template(text), {"value": value}) == defeated
