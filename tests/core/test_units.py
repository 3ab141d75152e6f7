from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.core import units


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("2 GiB", 2147483648, id="binary"),
        pytest.param("500 MB", 500000000, id="decimal"),
        pytest.param("4G", 4294967296, id="bare-letter-is-binary"),
        pytest.param("4g", 4294967296, id="lower-case"),
        pytest.param("1.5 KiB", 1536, id="fraction"),
        pytest.param("0.1KiB", 103, id="fraction-rounds-up"),
        pytest.param("7B", 7, id="plain-bytes"),
        pytest.param(" 3 TB ", 3000000000000, id="white-space"),
        pytest.param("1PiB", 1125899906842624, id="peta"),
    ],
)
def test_memory_as_people_write_it_becomes_bytes(text: str, count: int) -> None:
    assert units.parse_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("5", id="no-unit"),
        pytest.param(5, id="a-number"),
        pytest.param(True, id="a-truth-value"),
        pytest.param("5 iB", id="binary-without-power"),
        pytest.param("-5 GiB", id="negative"),
        pytest.param("5 GiBs", id="rubbish-after"),
        pytest.param("lots", id="word"),
        pytest.param("", id="empty"),
        pytest.param("1e9 B", id="exponent"),
    ],
)
def test_an_amount_of_memory_nobody_can_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount of memory; write .*(GiB|KiB)"):
        units.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("90m", 5400, id="minutes"),
        pytest.param("1h30m", 5400, id="two-units"),
        pytest.param("1h 30m", 5400, id="two-units-with-a-space"),
        pytest.param("1-12:00:00", 129600, id="days-and-clock"),
        pytest.param("36:00:00", 129600, id="clock"),
        pytest.param("00:00:07", 7, id="short-clock"),
        pytest.param("45s", 45, id="seconds"),
        pytest.param("0.2s", 1, id="fraction-rounds-up"),
        pytest.param("0s", 0, id="none"),
        pytest.param("1.5 hours", 5400, id="fraction-of-a-word"),
        pytest.param("2 days", 172800, id="days"),
        pytest.param("1w", 604800, id="week"),
    ],
)
def test_time_as_people_write_it_becomes_seconds(text: str, seconds: int) -> None:
    assert units.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("12:30", id="hours-and-minutes-or-minutes-and-seconds"),
        pytest.param("5 parsecs", id="unknown-unit"),
        pytest.param("5m rubbish", id="rubbish-after"),
        pytest.param("", id="empty"),
        pytest.param(True, id="a-truth-value"),
        pytest.param("-5m", id="negative"),
    ],
)
def test_a_length_of_time_nobody_can_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a length of time; write it like 90m"):
        units.parse_seconds(text)


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        pytest.param(10, "10s, 10m or 10h", id="number"),
        pytest.param("10", "10s, 10m or 10h", id="text"),
        pytest.param(" 10 ", "10s, 10m or 10h", id="blanks"),
        pytest.param(1.5, "1.5s, 1.5m or 1.5h", id="fraction"),
        pytest.param("0", "0s, 0m or 0h", id="zero"),
    ],
)
def test_a_time_without_a_unit_is_refused_with_the_three_ways_to_write_it(written: str | float, advice: str) -> None:
    with pytest.raises(ValueError, match=f"has no unit of time; write {advice}$"):
        units.parse_seconds(written)


@pytest.mark.parametrize(
    ("recorded", "seconds"),
    [
        pytest.param(600, 600, id="number-of-earlier-versions"),
        pytest.param(0.5, 1, id="fraction"),
        pytest.param("600s", 600, id="with-its-unit"),
    ],
)
def test_a_record_of_any_version_tells_its_seconds(recorded: str | float, seconds: int) -> None:
    assert units.recorded_seconds(recorded) == seconds


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        pytest.param("mib", 1048576, 1, id="mib"),
        pytest.param("mib", 1048577, 2, id="mib-rounds-up"),
        pytest.param("mb", 1048576, 2, id="mb-rounds-up"),
        pytest.param("gib", 1, 1, id="gib-of-one-byte"),
        pytest.param("kib", 2048, 2, id="kib"),
        pytest.param("minutes", 61, 2, id="minutes-round-up"),
        pytest.param("hours", 3600, 1, id="hours"),
        pytest.param("hms", 129600, "36:00:00", id="hms-past-a-day"),
        pytest.param("dhms", 129600, "1-12:00:00", id="dhms"),
        pytest.param("dhms", 90, "00:01:30", id="dhms-without-days"),
        pytest.param("ceil", 0.1, 1, id="ceil"),
    ],
)
def test_a_filter_writes_a_scheduler_s_unit_and_never_less_than_was_asked(
    name: str, value: float, text: object
) -> None:
    assert units.FILTERS[name](value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(0, "0 B", id="zero"),
        pytest.param(1023, "1023 B", id="bytes"),
        pytest.param(1610612736, "1.5 GiB", id="gib"),
        pytest.param(5 * 1024**4, "5.0 TiB", id="tib"),
    ],
)
def test_bytes_are_shown_as_a_person_reads_them(count: int | None, text: str) -> None:
    assert units.format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(None, "-", id="none"),
        pytest.param(7.9, "7s", id="seconds"),
        pytest.param(200, "3m 20s", id="minutes"),
        pytest.param(7500, "2h 05m", id="hours"),
        pytest.param(129600, "1d 12h", id="days"),
        pytest.param(-3, "0s", id="a-clock-that-went-back"),
    ],
)
def test_seconds_are_shown_as_a_person_reads_them(seconds: float | None, text: str) -> None:
    assert units.format_seconds(seconds) == text


@given(st.integers(0, 10**9))
def test_a_time_written_as_a_clock_reads_back_as_itself(seconds: int) -> None:
    assert units.parse_seconds(units.clock(seconds)) == seconds
    assert units.parse_seconds(units.day_clock(seconds)) == seconds


@given(st.integers(0, 2**53))
def test_bytes_with_their_unit_read_back_as_themselves(count: int) -> None:
    assert units.parse_bytes(f"{count}B") == count


@given(st.integers(1, 2**45), st.sampled_from(["kib", "mib", "gib", "kb", "mb", "gb"]))
def test_an_amount_in_a_larger_unit_is_never_less_and_less_than_one_unit_more(count: int, name: str) -> None:
    size = {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 10**6, "gb": 10**9}[name]
    assert 0 <= units.FILTERS[name](count) * size - count < size
