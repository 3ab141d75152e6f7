"""A secret is blotted out in whatever form a service, a shell or a log writes it."""

from __future__ import annotations

import base64
import html
import json
import shlex
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core.redact import redact, redactor

if TYPE_CHECKING:
    from collections.abc import Callable

ODD = "p\"a\\ss'w/o rd<&>+é=%"

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=30)
nasty = st.text(st.sampled_from("\\\\\"'' /<>&+%=#;u2x0é\U0001f600"), min_size=4, max_size=20)
secrets = st.one_of(texts, nasty)


def json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


def json_utf8(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def json_in_json(text: str) -> str:
    return json_ascii(json_ascii(text))


def json_of_go(text: str) -> str:
    escaped = json_utf8(text)
    for sign in "<>&":
        escaped = escaped.replace(sign, f"\\u{ord(sign):04x}")
    return escaped


def json_of_php(text: str) -> str:
    return json_ascii(text).replace("/", "\\/")


def json_all_escapes(text: str) -> str:
    data = text.encode("utf-16-be")
    return "".join(f"\\u{data[at]:02X}{data[at + 1]:02X}" for at in range(0, len(data), 2))


def html_decimal(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else f"&#{ord(c)};" for c in text)


def html_hex(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else f"&#x{ord(c):X};" for c in text)


def uri_component(text: str) -> str:
    return quote(text, "!'()*")


def backslashed(text: str) -> str:
    return "".join(c if c.isalnum() else f"\\{c}" for c in text)


def double_quoted(text: str) -> str:
    return "".join(f"\\{c}" if c in '\\"$`' else c for c in text)


def close_and_open(text: str) -> str:
    return text.replace("'", "'\\''")


FORMS: list[Callable[[str], str]] = [
    str, json_ascii, json_utf8, json_in_json, json_of_go, json_of_php, json_all_escapes, html.escape, html_decimal,
    html_hex, quote, quote_plus, uri_component, shlex.quote, backslashed, double_quoted, close_and_open, repr,
]  # fmt: skip
FORMS += [
    lambda text: quote(text, "").lower() if text.islower() else quote(text, ""),
    lambda text: quote(quote(text, ""), ""),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: json_ascii(html.escape(text)),
    lambda text: html.escape(json_ascii(text)),
]


@given(secrets, st.sampled_from(FORMS), texts, texts)
def test_no_form_of_a_secret_is_left(secret: str, form: Callable[[str], str], before: str, after: str) -> None:
    written = form(secret)
    shown = redact(f"{before}{written}{after}", [secret])
    assert written not in shown.replace("[secret]", "\0")
    assert "[secret]" in shown


@given(secrets, st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_in_base64_is_found_at_every_place(secret: str, before: bytes, after: bytes) -> None:
    whole = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(whole).decode()
        shown = redact(f"x {encoded} y", [secret])
        first, last = -(-len(before) * 8 // 6), (len(before) + len(secret.encode())) * 8 // 6
        assert encoded[first:last] not in shown
        assert "[secret]" in shown


@given(secrets, texts)
def test_a_text_without_the_secret_stays_as_it_is(secret: str, text: str) -> None:
    if "[secret]" in redact(text, [secret]):
        return  # it is there in one of its forms
    assert redact(text, [secret]) == text


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(r'{"error": "p\"a\\ss\u0027w\/o rd\u003c\u0026\u003e+\u00e9=% is wrong"}', id="JSON of all kinds"),
        pytest.param(r"p\"a\\\\ss'w/o rd<&>+é=%", id="JSON in JSON, half escaped"),
        pytest.param("p&quot;a\\ss&#39;w/o rd&lt;&amp;&gt;+&eacute;=%", id="HTML with names"),
        pytest.param("p&amp;quot;a\\ss&amp;#39;w/o rd&amp;lt;&amp;amp;&amp;gt;+é=%", id="HTML in HTML"),
        pytest.param("p%22a%5Css'w/o+rd%3C%26%3E%2B%C3%A9%3D%25", id="a form"),
        pytest.param("p%2522a%255Css%2527w%252Fo%2520rd%253C%2526%253E%252B%25C3%25A9%253D%2525", id="a URL in a URL"),
        pytest.param("""'p"a\\ss'"'"'w/o rd<&>+é=%'""", id="a shell's quotes"),
        pytest.param("""'p"a\\ss'\\''w/o rd<&>+é=%'""", id="a shell's other quotes"),
        pytest.param("""p\\"a\\\\ss\\'w/o\\ rd\\<\\&\\>+é=%""", id="printf %q"),
        pytest.param("""$'p"a\\\\ss\\'w/o rd<&>+\\303\\251=%'""", id="a shell's octal numbers"),
        pytest.param("p=22a=5Css=27w=2Fo rd=3C&>+=C3=A9=3D%", id="quoted-printable"),
        pytest.param("p\\x22a\\x5css\\x27w/o rd\\x3c&>+\\xc3\\xa9=%", id="bytes in hexadecimal"),
        pytest.param("p%u0022a%u005Css'w/o rd<&>+%u00E9=%", id="escape() of JavaScript"),
    ],
)
def test_forms_that_programs_mix_are_found(line: str) -> None:
    shown = redact(line, [ODD])
    assert "[secret]" in shown
    assert "ss" not in shown.replace("[secret]", "")


def test_bash_writes_it_in_no_way_that_is_not_found() -> None:
    for directive in ("%q", "%s"):
        words = ["bash", "-c", f"printf '{directive}' \"$1\"", "-", ODD]
        said = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "w/o" not in redact(said.stdout, [ODD])


def test_base64_in_lines_is_found() -> None:
    secret = "a long secret " * 12
    lines = base64.encodebytes(f"ada:{secret}".encode()).decode()
    assert len(lines.splitlines()) > 2
    shown = redact(lines, [secret])
    assert shown.count("[secret]") == 1
    assert len(shown.replace("[secret]", "")) < 12
    assert "[secret]" in redact(json.dumps(lines), [secret])


def test_a_short_text_is_no_secret_and_the_longest_is_blotted_out_first() -> None:
    assert redact("abc abcd", ["abc", ""]) == "abc abcd"
    assert redact("say abcdef now", ["abcd", "abcdef"]) == "say [secret] now"


def test_a_hostile_answer_costs_no_time() -> None:
    blot = redactor(["\\\"\\'a" * 12])
    began = time.process_time()
    for piece in ("\\", "\\\"\\'a" * 11 + "b", '\\\\"', "'", "&amp;", "%25", "=", "\\u00", "A"):
        blot(piece * (20_000 // len(piece)) + "a")
    assert time.process_time() - began < 20
