from __future__ import annotations

import asyncio
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.errors import TransportError
from adapter.transports.base import Download, Upload
from adapter.transports.files import get_here, put_here, unpack_here
from adapter.transports.local import LocalTransport

NAMES = ["plain", "a b", "-rf", "new\nline", "é 名", "quote'\"", "$(touch oops)", "*", "x" * 200]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_put_and_brought_whatever_its_name(tmp_path: Path, name: str) -> None:
    source, work, here = tmp_path / name, tmp_path / "target" / "work", tmp_path / "here"
    source.write_bytes(b"\0\xff data\n")

    async def story() -> list[list[str]]:
        async with LocalTransport() as transport:
            await transport.put([Upload(target=f"{work}/{name}", path=str(source))])
            return await transport.get([Download(folder=str(work), pattern="*", to=str(here))])

    assert asyncio.run(story()) == [[str(here / name)]]
    assert (here / name).read_bytes() == b"\0\xff data\n"
    assert [path.name for path in work.iterdir()] == [name]


def test_literal_content_is_put_as_it_is_with_the_folders_above_it(tmp_path: Path) -> None:
    put_here(Upload(target=f"{tmp_path}/a/b/c", content=b"x\r\n"))
    put_here(Upload(target=f"{tmp_path}/empty", content=b""))
    assert (tmp_path / "a/b/c").read_bytes() == b"x\r\n"
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_file_keeps_its_permissions_and_a_text_gets_the_umask_s(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o750)
    before = os.umask(0o027)
    try:
        put_here(Upload(target=f"{tmp_path}/copy", path=str(script)))
        put_here(Upload(target=f"{tmp_path}/text", content=b"x"))
    finally:
        os.umask(before)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "text").stat().st_mode & 0o777 == 0o640


def test_a_file_replaces_another_in_one_move(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with target.open() as reader:
        put_here(Upload(target=str(target), content=b"new"))
        assert reader.read() == "old"  # nobody sees half of it
    assert target.read_text() == "new"


def test_a_folder_is_put_with_what_is_in_it_and_its_links_stay_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub dir").mkdir(parents=True)
    (source / "sub dir" / "file").write_text("x")
    (source / "link").symlink_to("sub dir/file")
    put_here(Upload(target=f"{tmp_path}/copy", path=str(source)))
    assert (tmp_path / "copy/sub dir/file").read_text() == "x"
    assert (tmp_path / "copy" / "link").readlink() == Path("sub dir/file")


def test_a_link_points_to_the_absolute_place_and_replaces_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").write_text("x")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        put_here(Upload(target=f"{tmp_path}/work/link", path="data", link=True))
    assert (tmp_path / "work" / "link").readlink() == tmp_path / "data"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["link"]


@pytest.mark.parametrize("what", ["missing", "fifo-folder", "file-in-the-way"])
def test_what_cannot_be_put_is_named_with_its_place_and_leaves_nothing(tmp_path: Path, what: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target" / "file"
    if what == "fifo-folder":
        source.mkdir()
        os.mkfifo(source / "fifo")
    elif what == "file-in-the-way":
        source.write_text("x")
        (tmp_path / "target").write_text("in the way")
    with pytest.raises(TransportError) as caught:
        put_here(Upload(target=str(target), path=str(source)))
    assert f"cannot put {source} at {target}: " in str(caught.value)
    if what == "missing":
        assert list((tmp_path / "target").iterdir()) == []


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "sub" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c.log", ".hidden.txt", "sub/d.txt", "sub/deep/e.txt"):
        (folder / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("a.txt", ["a.txt"], id="name"),
        pytest.param("[ab].txt", ["a.txt", "b.txt"], id="class"),
        pytest.param("*.txt", [".hidden.txt", "a.txt", "b.txt"], id="star"),
        pytest.param("**/*.txt", [".hidden.txt", "a.txt", "b.txt", "sub/d.txt", "sub/deep/e.txt"], id="two-stars"),
        pytest.param("sub", ["sub/d.txt", "sub/deep/e.txt"], id="folder"),
        pytest.param("sub/*", ["sub/d.txt", "sub/deep/e.txt"], id="in-a-folder"),
        pytest.param("nothing*", [], id="nothing"),
    ],
)
def test_files_are_brought_by_pattern_with_their_folders(
    work: Path, tmp_path: Path, pattern: str, found: list[str]
) -> None:
    here = tmp_path / "here"
    written = get_here(Download(folder=str(work), pattern=pattern, to=str(here)))
    assert written == [str(here / name) for name in found]
    assert [Path(path).read_text() for path in written] == found


def test_a_folder_that_is_not_there_gives_no_files(tmp_path: Path) -> None:
    assert get_here(Download(folder=f"{tmp_path}/nowhere", pattern="*", to=str(tmp_path))) == []


@pytest.mark.parametrize(
    ("link", "to", "pattern"),
    [
        pytest.param("out.txt", "../secret", "*.txt", id="file"),
        pytest.param("out.txt", "/etc/passwd", "out.txt", id="absolute"),
        pytest.param("up", "..", "up/secret", id="through-a-folder"),
        pytest.param("up", "..", "up", id="folder"),
        pytest.param("sub/inner", "../../secret", "sub", id="inside-a-folder-that-is-brought-whole"),
    ],
)
def test_a_link_out_of_the_work_folder_is_refused_and_nothing_of_it_is_brought(
    work: Path, tmp_path: Path, link: str, to: str, pattern: str
) -> None:
    (work / link).symlink_to(to)
    here = tmp_path / "here"
    with pytest.raises(TransportError, match=r"leads out of .* through a symbolic link; it is not followed"):
        get_here(Download(folder=str(work), pattern=pattern, to=str(here)))
    assert [path for path in here.rglob("*") if path.is_file() and "secret" in path.read_text()] == []


def test_a_link_within_the_work_folder_is_brought_as_what_it_points_to(work: Path, tmp_path: Path) -> None:
    (work / "link.out").symlink_to("sub/d.txt")
    (work / "broken.out").symlink_to("nowhere")
    assert get_here(Download(folder=str(work), pattern="*.out", to=f"{tmp_path}/here")) == [f"{tmp_path}/here/link.out"]
    assert (tmp_path / "here" / "link.out").read_text() == "sub/d.txt"


def test_a_pattern_that_cannot_be_used_is_an_error_that_names_it(work: Path, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"output pattern '\*\*x.txt' cannot be used"):
        get_here(Download(folder=str(work), pattern="**x.txt", to=f"{tmp_path}/here"))


def test_a_link_that_leads_in_a_circle_is_not_there(work: Path, tmp_path: Path) -> None:
    (work / "loop.txt").symlink_to("loop.txt")
    (work / "sub" / "loop").symlink_to("../sub")
    assert len(get_here(Download(folder=str(work), pattern="*.txt", to=f"{tmp_path}/here"))) == 3
    assert len(get_here(Download(folder=str(work), pattern="sub", to=f"{tmp_path}/here"))) == 2


def test_a_file_that_matches_in_two_ways_is_brought_once(work: Path, tmp_path: Path) -> None:
    assert len(get_here(Download(folder=str(work), pattern="**/*", to=f"{tmp_path}/here"))) == 6


def test_what_cannot_be_brought_is_named_with_its_place(work: Path, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("in the way")
    with pytest.raises(TransportError, match=f"cannot bring {work}/a.txt to {tmp_path}/here/a.txt: "):
        get_here(Download(folder=str(work), pattern="a.txt", to=f"{tmp_path}/here"))


def test_what_is_excluded_stays_where_it_is(tmp_path: Path) -> None:
    for name in ("out/a.txt", "out/b.tmp", "out/cache/c.txt", "out/deep/d.txt"):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text(name)
    exclude = ("*.tmp", "out/cache/*")
    here = Download(folder=str(tmp_path / "work"), pattern="out", to=str(tmp_path / "here"), exclude=exclude)
    brought = [str(tmp_path / "here" / name) for name in ("out/a.txt", "out/deep/d.txt")]
    assert get_here(here) == brought

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(tmp_path / "work" / "out", "./out")
    archive.seek(0)
    far = replace(here, to=str(tmp_path / "far"))
    assert unpack_here(archive, far, tmp_path / "tree") == []
    assert get_here(far, tree=tmp_path / "tree") == [path.replace("/here/", "/far/") for path in brought]


def test_a_link_to_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=f"cannot put {tmp_path}/gone"):
        put_here(Upload(target=f"{tmp_path}/link", path=f"{tmp_path}/gone", link=True))
    assert not (tmp_path / "link").is_symlink()
