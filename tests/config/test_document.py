from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.config.document import parse
from adapter.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        pytest.param("1:30:00", "1:30:00", id="no base sixty"),
        pytest.param("yes", "yes", id="yes is a word"),
        pytest.param("off", "off", id="off is a word"),
        pytest.param("N", "N", id="N is a word"),
        pytest.param("2024-01-01", "2024-01-01", id="no dates"),
        pytest.param("1_000", "1_000", id="no underscores in numbers"),
        pytest.param("0755", 755, id="no old octal"),
        pytest.param("0o17", 15, id="octal"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("1e3", 1000.0, id="exponent without a point"),
        pytest.param(".5", 0.5, id="point first"),
        pytest.param("+12", 12, id="plus"),
        pytest.param("True", True, id="boolean"),
        pytest.param("~", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param("'5'", "5", id="quoted"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_reads_them(written: str, value: object) -> None:
    data = parse(f"key: {written}\n", "x.yaml").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_keys_are_texts_as_they_are_written() -> None:
    assert parse("0: a\ntrue: b\n1.10: c\n", "x.yaml").data == {"0": "a", "true": "b", "1.10": "c"}


def test_a_merge_key_adds_what_the_map_does_not_say_itself() -> None:
    data = parse("base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n", "x.yaml").data
    assert data["mine"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: &a [*a]", "x.yaml:1:4: an alias contains itself", id="itself"),
        pytest.param("a: !!python/object:os.system {}", "x.yaml:1:4: the tag !!python/object:os.system is not used here; write plain YAML", id="tag"),  # noqa: E501 (one case a line)
        pytest.param("a: 1\n---\nb: 2\n", "x.yaml:2:1: no YAML: but found another document, expected a single document in the stream", id="two documents"),  # noqa: E501
        pytest.param("? [1]\n: 2\n", "x.yaml:1:3: a key must be a text", id="a list as key"),
        pytest.param("a: \x01", "x.yaml:1:4: the character U+0001 cannot stand in YAML", id="control character"),
        pytest.param("a: *b", "x.yaml:1:4: no YAML: found undefined alias 'b'", id="unknown alias"),
        pytest.param("[" * 100_000, "x.yaml:1:1: the file is nested too deeply", id="deep"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    assert str(caught.value) == message


def test_aliases_cannot_blow_a_small_file_up() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join(['*' + above] * 9)}]")
    with pytest.raises(ConfigError, match="aliases make this file too large"):
        parse("\n".join(lines), "x.yaml")


@pytest.mark.parametrize(
    ("text", "place", "position"),
    [
        pytest.param("k: |\n  one\n\n    two\n", (3, 3), (4, 5), id="block"),
        pytest.param("k: |2\n    one\n", (1, 3), (2, 5), id="block with its indentation said"),
        pytest.param("k: >-\n  one\n  two\n", (1, 5), (3, 3), id="folded"),
        pytest.param("k: one\n  two\n", (1, 5), (2, 3), id="plain over two lines"),
        pytest.param("k: 'it''s x'\n", (1, 6), (1, 11), id="single quotes"),
        pytest.param('k: "a b"\n', (1, 3), (1, 7), id="double quotes"),
        pytest.param('k: "a\\tb"\n', (1, 3), (1, 4), id="with an escape: the value's own place"),
    ],
)
def test_a_place_inside_a_text_is_found_in_the_file(
    text: str, place: tuple[int, int], position: tuple[int, int]
) -> None:
    assert parse(text, "x.yaml").position(("k",), place=place) == position


def test_a_key_that_is_not_there_stands_where_its_map_does() -> None:
    document = parse("a:\n  b:\n    c: 1\n", "x.yaml")
    assert document.position(("a", "b", "missing")) == (2, 3)


keys = st.text(max_size=50)  # YAML reads no key longer than 1024 characters, escapes counted
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
    max_leaves=10,
)


@given(st.dictionaries(keys, plain), st.sampled_from([None, 2, "\t"]))
def test_json_is_read_as_json_reads_it(data: dict[str, object], indent: int | str | None) -> None:
    assert parse(json.dumps(data, indent=indent), "x.json").data == data
