from __future__ import annotations

import shlex

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.template import Condition, Raw, Template, position_of, quote, quoting_defeat, unreadable
from adapter.errors import RenderError

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def rendered(text: str, **values: object) -> str:
    return Template(text).render(values)


@given(texts)
def test_a_value_is_one_word_whatever_it_holds(value: str) -> None:
    assert shlex.split(rendered("cmd --name={{ value }} end", value=value)) == ["cmd", f"--name={value}", "end"]


@given(st.lists(texts))
def test_words_writes_each_entry_as_one_word(values: list[str]) -> None:
    assert shlex.split(rendered("cmd {{ values | words }}", values=values)) == ["cmd", *values]


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), texts))
def test_flags_writes_each_entry_as_a_flag_and_one_word(values: dict[str, str]) -> None:
    expected = [word for key, value in values.items() for word in ("--env", f"{key}={value}")]
    assert shlex.split(rendered("{{ values | flags('--env') }}", values=values)) == expected


@given(st.lists(texts, min_size=1))
def test_a_joined_list_is_one_word(values: list[str]) -> None:
    assert shlex.split(rendered("--ids={{ values | join(',') }}", values=values)) == ["--ids=" + ",".join(values)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("plain", "plain", id="nothing-to-quote"),
        pytest.param("a b", "'a b'", id="space"),
        pytest.param("", "''", id="empty"),
        pytest.param("it's", "'it'\"'\"'s'", id="single-quote"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(3, "3", id="whole-number"),
        pytest.param(0.5, "0.5", id="fraction"),
        pytest.param(2.0, "2", id="whole-fraction"),
        pytest.param(Raw("$HOME"), "$HOME", id="raw"),
    ],
)
def test_a_value_is_written_as(value: object, text: str) -> None:
    assert quote(value) == text


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        pytest.param("{{ value }}", None, "does not set; put it under `options`", id="none"),
        pytest.param("{{ value }}", ["a"], r"a list cannot be one word; use `\| words`", id="list"),
        pytest.param("{{ value }}", {"a": "b"}, "a dict cannot be one word", id="map"),
        pytest.param("{{ value }}", "a\0b", "NUL", id="nul"),
        pytest.param("{{ value }}", "\ud800", "half a character", id="half-a-character"),
        pytest.param("{{ value | words }}", ["a", None], "does not set", id="none-in-words"),
        pytest.param("{{ value | words }}", 3, "not iterable", id="number-as-words"),
        pytest.param("{{ value | flags('-e') }}", "text", "items", id="text-as-flags"),
        pytest.param("{{ value | mib }}", "many", "unsupported operand", id="text-in-a-number-filter"),
        pytest.param("{{ 1 / value }}", 0, "division by zero", id="arithmetic"),
    ],
)
def test_a_value_that_cannot_be_written_is_an_error_that_quotes_the_template(
    text: str, value: object, message: str
) -> None:
    with pytest.raises(RenderError, match=message) as caught:
        rendered(text, value=value)
    assert text in str(caught.value)


def test_raw_writes_a_value_as_it_stands_and_nothing_for_none() -> None:
    assert rendered("[{{ a | raw }}][{{ b | raw }}]", a="$X; y", b=None) == "[$X; y][]"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ missing }}", id="written"),
        pytest.param("{{ missing | words }}", id="filtered"),
        pytest.param("{% if missing %}x{% endif %}", id="tested"),
        pytest.param("{{ value.missing }}", id="attribute"),
        pytest.param("{{ missing | join(',') }}", id="joined"),
    ],
)
def test_an_undefined_name_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(RenderError, match="missing"):
        rendered(text, value={})


def test_a_name_may_be_asked_whether_it_is_defined() -> None:
    assert rendered("{% if missing is defined %}yes{% else %}no{% endif %}") == "no"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ ''.__class__ }}", id="class"),
        pytest.param("{{ ''.__class__.__mro__ }}", id="class-chain"),
        pytest.param("{{ value.__init__.__globals__ }}", id="globals"),
        pytest.param("{{ ''['__class__'] }}", id="subscript"),
        pytest.param("{{ (1).__class__.__base__.__subclasses__() }}", id="subclasses"),
        pytest.param("{{ values.append(3) }}", id="changing-a-list"),
        pytest.param("{{ '{0.__class__}'.format(1) }}", id="format"),
        pytest.param("{{ self.__init__ }}", id="template-itself"),
        pytest.param("{{ cycler.__init__ }}", id="a-global-of-jinja"),
        pytest.param("{{ range(3) }}", id="range"),
    ],
)
def test_a_template_cannot_leave_its_sandbox(text: str) -> None:
    with pytest.raises(RenderError):
        rendered(text, value="x", values=[1])


@pytest.mark.parametrize("name", ["attr", "map", "pprint", "tojson", "xmlattr", "random"])
def test_a_filter_that_is_not_ours_compiles_only_if_it_was_kept(name: str) -> None:
    if name == "map":
        assert rendered("{{ v | map('upper') | words }}", v=["a"]) == "A"
        return
    with pytest.raises(jinja2.TemplateSyntaxError):
        Template(f"{{{{ value | {name} }}}}")


def test_map_cannot_reach_a_forbidden_attribute() -> None:
    with pytest.raises(RenderError):
        rendered("{{ v | map(attribute='__class__') | words }}", v=["a"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ name", id="not-closed"),
        pytest.param("{% if x %}", id="no-endif"),
        pytest.param("{{ a b }}", id="two-names"),
    ],
)
def test_a_template_that_does_not_compile_says_the_line(text: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError) as caught:
        Template("first line\n" + text)
    assert caught.value.lineno == 2


def test_a_template_knows_its_variables() -> None:
    assert Template("{{ a | words }} {% if b %}{{ c.d }}{% endif %}{% for x in y %}{{ x }}{% endfor %}").variables == {
        "a", "b", "c", "y",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param("walltime <= 3600", True, id="true"),
        pytest.param("walltime > 3600", False, id="false"),
        pytest.param("gpu", False, id="none-is-false"),
        pytest.param("gpu >= 1", False, id="comparing-none-is-false"),
        pytest.param("queue == 'long' or walltime", True, id="or"),
        pytest.param("not gpu", True, id="not"),
    ],
)
def test_a_condition_holds_only_where_it_is_true(text: str, holds: bool) -> None:
    assert Condition(text).holds({"walltime": 3600, "gpu": None, "queue": "short"}) is holds


def test_a_condition_that_compares_an_undefined_name_is_an_error_that_names_it() -> None:
    with pytest.raises(RenderError, match="'nothing' is undefined"):
        Condition("nothing <= 3").holds({})


def test_a_condition_cannot_leave_the_sandbox() -> None:
    with pytest.raises(RenderError):
        Condition("queue.__class__.__mro__[1].__subclasses__()").holds({"queue": "x"})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('cmd --name="{{ name }}"', id="double-quotes"),
        pytest.param("cmd --name='{{ name }}'", id="single-quotes"),
        pytest.param("sh -c 'echo {{ name }}'", id="inside-a-quoted-command"),
        pytest.param("cmd {{ name | raw }}", id="raw"),
        pytest.param('cmd "x {{ name }} y" z', id="in-the-middle-of-quotes"),
        pytest.param("cmd \\{{ name }}", id="after-a-backslash"),
        pytest.param('cmd "{{ names | words }}"', id="words-in-quotes"),
        pytest.param("cmd \"{{ env | flags('-e') }}\"", id="flags-in-quotes"),
    ],
)
def test_a_template_that_defeats_the_quoting_is_found(text: str) -> None:
    values = {"name": "text", "names": ["text"], "env": {"KEY": "text"}}
    assert quoting_defeat(Template(text), values) in {"name", "names", "env"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("cmd {{ name }}", id="word"),
        pytest.param("cmd --name={{ name }} 'quoted text'", id="option"),
        pytest.param("cmd {{ names | words }} | wc -l; true", id="words-in-a-pipe"),
        pytest.param("cmd --ids={{ names | join(',') }}", id="joined"),
        pytest.param("cmd {{ env | flags('--env') }}", id="flags"),
        pytest.param("cmd {{ count }}", id="number"),
        pytest.param('cmd "$HOME"/{{ name }}', id="beside-quotes"),
        pytest.param("{% if name %}cmd {{ name }}{% endif %}", id="in-a-condition"),
        pytest.param("cmd {{ shell }}", id="a-raw-value"),
    ],
)
def test_a_template_that_leaves_the_quoting_alone_passes(text: str) -> None:
    values = {"name": "text", "names": ["text"], "env": {"KEY": "text"}, "count": 2, "shell": Raw("$(id)")}
    assert quoting_defeat(Template(text), values) is None


def test_a_command_with_a_quote_that_is_never_closed_is_unreadable() -> None:
    assert unreadable("cmd 'a b") == "no closing quotation"
    assert unreadable("cmd 'a b'") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("--name={{ name }}", (1, 11), id="not-the-word-outside"),
        pytest.param("first\n  {% if name %}x{% endif %}", (2, 9), id="second-line"),
        pytest.param("{{ names }}\n{{ name }}", (2, 4), id="not-a-longer-name"),
    ],
)
def test_the_first_use_of_a_name_is_found(text: str, place: tuple[int, int]) -> None:
    assert position_of(text, "name") == place
