"""A template of somebody else's can neither take for ever nor fill the memory, and none of ours is refused for it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from time import monotonic

import jinja2
import pytest

from adapter.core.template import Condition, Expression, PlainTemplate, Template
from adapter.errors import RenderError

END = "{% endfor %}"
LONG = "[" + "1," * 2000 + "]"
BOMBS = {
    "power": "{{ 9**(9**9) }}",
    "power-of-a-negative": "{{ (-9)**(9**9) }}",
    "product": "{{ 'a' * 10000000000 }}",
    "product-turned": "{{ 10000000000 * ['a'] }}",
    "products": "{% set x = 'a' * 9999 %}{{ x * 9999999 }}",
    "nested-loops": f"{{% for a in {LONG} %}}{{% for b in {LONG} %}}{{% for c in {LONG} %}}" + END * 3,
    "loops-over-a-value": "{% for a in inputs %}{% for b in inputs %}{% for c in inputs %}" + END * 3,
    "text-in-a-loop": f"{{% for a in {LONG} %}}" + "x" * 100_000 + "{% endfor %}",
    "constant-in-a-loop": f"{{% for a in {LONG} %}}{{{{ '{'x' * 100_000}' }}}}{{% endfor %}}",
    "doubled": "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 50 + "{{ x }}",
    "doubled-by-plus": "{% set x = 'aaaaaaaa' %}" + "{% set x = x + x %}" * 50 + "{{ x }}",
    "doubled-list": "{% set x = [1] %}" + "{% set x = x + x %}" * 50 + "{{ x | length }}",
    "doubled-block": "{% set x = 'a' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 50 + "{{ x }}",
    "squared": "{% set x = 9 %}" + "{% set x = x * x %}" * 60 + "{{ x }}",
    "join": "{% set x = 'a' * 1000000 %}{{ [" + "x," * 5000 + "] | join }}",
    "words": "{% set x = 'a' * 1000000 %}{{ [" + "x," * 5000 + "] | words }}",
    "replace": "{% set x = 'a' * 100000 %}{{ x | replace('a', x) }}",
    "replace-method": "{% set x = 'a' * 100000 %}{{ x.replace('a', x) }}",
    "join-method": "{% set x = 'a' * 100000 %}{{ x.join(x) }}",
    "between": "{% set x = 'a' * 100000 %}{{ inputs | between(x) | join }}",
    "format-width": "{{ '%09999999999d' % 1 }}",
    "format-method": "{{ '{:>9999999999}'.format(1) }}",
    "pad": "{{ 'a'.ljust(9999999999) }}",
    "bytes": "{{ (5).to_bytes(9999999999) }}",
}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("kind", [Template, PlainTemplate])
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_template_that_would_take_for_ever_is_refused(text: str, kind: type[Template]) -> None:
    began = monotonic()
    with pytest.raises(RenderError, match=r"more than a template may|too large|cannot be called|is not used here"):
        kind(text).render({"inputs": ["a"] * 2000})
    assert monotonic() - began < 20


@pytest.mark.parametrize("text", ["9**(9**9)", "'a' * 10000000000", "'{:>9999999999}'.format(1)"])
def test_an_expression_that_would_take_for_ever_is_refused(text: str) -> None:
    with pytest.raises(RenderError):
        Expression(text).value({})
    with pytest.raises(RenderError):
        Condition(text).holds({})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", id="macro"),
        pytest.param("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", id="recursive-loop"),
        pytest.param("{% include 'x' %}", id="include"),
        pytest.param("{% extends 'x' %}", id="extends"),
        pytest.param("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", id="deep"),
        pytest.param("{{ " + "-" * 20000 + "1 }}", id="deep-signs"),
        pytest.param("{{ " + "not " * 20000 + "1 }}", id="deep-nots"),
        pytest.param("{% if a %}" * 500 + "{% endif %}" * 500, id="deep-ifs"),
        pytest.param("{{ " + "9" * 5000 + " }}", id="long-number"),
    ],
)
def test_a_template_that_is_no_template_of_ours_does_not_compile(text: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Template(text)


def test_a_large_task_is_no_bomb() -> None:
    text = "{% for item in inputs %}# a line of the script, as long as most of them are: {{ item }}\n{% endfor %}"
    assert Template(text).render({"inputs": ["a/path/of/some/length.txt"] * 100_000}).count("\n") == 100_000


@pytest.mark.parametrize(
    ("text", "came"),
    [
        ("{{ 2**10 + 7 % 4 }}", "1027"),
        ("{{ 'a' ~ 1 ~ 'b c' }}", "'a1b c'"),
        ("{{ 'a-b'.replace('-', '+') }}", "a+b"),
        ("{{ ','.join(['a', 'b']) }}", "a,b"),
        ("{{ 'ab' * 2 }}", "abab"),
        ("{{ 'a.b'.split('.') | first }}", "a"),
        ("{% for a in {'x': 1} | items %}{{ a | join('=') }}{% endfor %}", "x=1"),
        ("{% for a in [1, 2] %}{{ a }}{% if not loop.last %},{% endif %}{% endfor %}", "1,2"),
    ],
)
def test_what_templates_need_stays(text: str, came: str) -> None:
    assert Template(text).render({}) == came
