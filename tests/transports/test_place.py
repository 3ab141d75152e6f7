"""From the folder in which files arrive to their places: nothing that was here is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from adapter.config.local_paths import same_file
from adapter.errors import TransportError
from adapter.transports.place import arrivals, put_in_place


def put(source: Path, target: Path, text: str = "new", **over: Any) -> Path:
    source.write_text(text)
    how = {"may_replace": False, "is_taken": lambda _: False, "mark": "k.2", **over}
    place = put_in_place(source, target, **how)
    assert not source.exists()
    return place


def test_a_file_gets_its_name_and_the_folders_above_it(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "out.txt"
    assert put(tmp_path / "in", target) == target
    assert target.read_text() == "new"


def test_what_is_here_stays_and_the_new_one_comes_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("mine")
    assert put(tmp_path / "in", target) == tmp_path / "out.k.2.txt"
    assert put(tmp_path / "in", target, "newer") == tmp_path / "out.k.2-2.txt"
    assert put(tmp_path / "in", target, "newest") == tmp_path / "out.k.2-3.txt"
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["newer", "newest", "new", "mine"]


def test_what_may_be_replaced_is(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("mine")
    assert put(tmp_path / "in", target, may_replace=True) == target
    assert target.read_text() == "new"


def test_the_same_content_again_is_one_file_unless_somebody_else_brought_it(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("new")
    assert put(tmp_path / "in", target) == target
    assert put(tmp_path / "in", target, is_taken=lambda place: place == target) == tmp_path / "out.k.2.txt"


@pytest.mark.parametrize("may_replace", [True, False])
def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path, *, may_replace: bool) -> None:
    (tmp_path / "out").mkdir()
    assert put(tmp_path / "in", tmp_path / "out", may_replace=may_replace) == tmp_path / "out.k.2"


def test_a_link_that_leads_nowhere_stays(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("gone")
    assert put(tmp_path / "in", tmp_path / "out") == tmp_path / "out.k.2"
    assert (tmp_path / "out").is_symlink()


def failing(code: int, times: int) -> Any:
    calls, as_before = [], os.link

    def link(source: Any, place: Any) -> None:
        calls.append(place)
        if len(calls) <= times:
            raise OSError(code, os.strerror(code))
        as_before(source, place)

    return link


@pytest.mark.parametrize(
    ("code", "times"),
    [
        pytest.param(errno.EPERM, 9, id="a-file-system-without-links"),
        pytest.param(errno.EOPNOTSUPP, 9, id="one-that-says-so-otherwise"),
        pytest.param(errno.EXDEV, 1, id="another-file-system"),
    ],
)
def test_a_file_comes_whole_where_it_cannot_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, times: int
) -> None:
    monkeypatch.setattr(os, "link", failing(code, times))
    here = tmp_path / "here"
    assert put(tmp_path / "in", here / "out") == here / "out"
    assert [(path.name, path.read_text()) for path in here.iterdir()] == [("out", "new")]


def test_without_links_what_is_here_stays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_text("mine")
    monkeypatch.setattr(os, "link", failing(errno.EPERM, 9))
    assert put(tmp_path / "in", tmp_path / "out") == tmp_path / "out.k.2"
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    (tmp_path / "in").write_text("x")
    with pytest.raises(TransportError, match="results/out"):
        put_in_place(
            tmp_path / "in", tmp_path / "results" / "out", may_replace=True, is_taken=lambda _: False, mark="k"
        )


def test_arrivals_are_private_beside_their_place_and_leave_nothing(tmp_path: Path) -> None:
    left = tmp_path / ".job.part"
    left.mkdir()
    (left / "half").write_text("of an earlier process")
    with arrivals(str(tmp_path / "results" / "new"), "job") as folder:
        assert (folder.parent, folder.stat().st_mode & 0o777, list(folder.iterdir())) == (tmp_path, 0o700, [])
        (folder / "sub").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_spellings_of_one_file_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    spellings = ["real/a", "real/./a", "real/../real/a", "link/a", "link/../link/a"]
    assert {same_file(str(tmp_path / each)) for each in spellings} == {str(tmp_path.resolve() / "real" / "a")}
    assert same_file(str(tmp_path / "real" / "A")) != same_file(str(tmp_path / "real" / "a"))


def test_a_file_system_that_ignores_case_has_one_file_for_both(tmp_path: Path) -> None:
    (tmp_path / "Work").mkdir()
    (tmp_path / "wORK").symlink_to("Work")  # what such a file system shows
    assert same_file(str(tmp_path / "Work" / "A.txt")) == same_file(str(tmp_path / "Work" / "a.TXT"))
