"""Where a shell would act: hand-marked texts, and what real shells do with them."""

from __future__ import annotations

import subprocess

import pytest

from adapter.testkit.shelltext import Place, places

MARKS = {"p": Place.PLAIN, "l": Place.LITERAL, "d": Place.DOUBLE, "h": Place.HEREDOC, "c": Place.COMMENT}

TEXTS = [
    ("echo @", "p"),
    ("echo '@'", "l"),
    ('echo "@"', "d"),
    ("echo \\@", "l"),
    ('echo "it\'s @"', "d"),
    ("echo 'it' '\"' @", "p"),
    ("true # '@", "c"),
    ("echo a#'@'", "l"),
    ("echo ${#x} @", "p"),
    ("echo ${x##*) } '@'", "l"),
    ("echo \"$(echo '@')\"", "l"),
    ('echo "$(echo @)"', "p"),
    ('echo "$(echo a) @"', "d"),
    ('echo "${x:-@}"', "d"),
    ("echo `echo '@'`", "l"),
    ("case x in a) echo '@' ;; esac", "l"),
    ("cat <<END\n'@'\nEND\n", "h"),
    ("cat <<'END'\n@\nEND\n", "l"),
    ("cat <<-END\n\t@\n\tEND\n", "h"),
    ("cat <<'END'\nit's\nEND\necho @", "p"),
    ("# it's\necho '@'", "l"),
    ("echo $((1 + 2)) '@'", "l"),
]


@pytest.mark.parametrize(("text", "mark"), TEXTS)
def test_a_character_stands_where_a_shell_sees_it(text: str, mark: str) -> None:
    assert places(text)[text.index("@")] is MARKS[mark]


@pytest.mark.parametrize(("text", "mark"), TEXTS)
def test_a_real_shell_acts_upon_what_does_not_stand_literally(text: str, mark: str) -> None:
    """In the place of the mark, a substitution runs, unless it is literal or in a comment."""
    script = text.replace("@", "$(echo ran >&2)", 1)
    if "\\$(" in script:
        pytest.skip("a backslash protects one character only")
    ran = subprocess.run(["sh", "-c", f"x=; set -f\n{script}"], capture_output=True, text=True, check=False, timeout=20)
    acts = mark in {"p", "d", "h"}
    is_reached = "case x in a)" not in text and "${x:-" not in text
    assert ("ran" in ran.stderr) == (acts and (is_reached or "${x:-" in text))
