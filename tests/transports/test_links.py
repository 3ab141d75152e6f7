"""Files as they come and go here and over SSH: the same tree gives the same, whichever way it travels."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.errors import TransportError
from adapter.transports.base import Download, Upload
from adapter.transports.local import LocalTransport
from tests.transports.test_ssh import Server, server, with_transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["server"]

both_ways = pytest.mark.parametrize("way", ["local", "ssh"])


def get(way: str, server: Server, *downloads: Download) -> list[list[str]]:
    if way == "ssh":
        brought: list[list[str]] = with_transport(
            server, lambda transport: transport.get(downloads, scratch=server.scratch)
        )
        return brought

    async def story() -> list[list[str]]:
        async with LocalTransport() as transport:
            return await transport.get(downloads)

    return asyncio.run(story())


def put(way: str, server: Server, *uploads: Upload) -> None:
    if way == "ssh":
        with_transport(server, lambda transport: transport.put(uploads, scratch=server.scratch))
        return

    async def story() -> None:
        async with LocalTransport() as transport:
            await transport.put(uploads)

    asyncio.run(story())


@pytest.fixture
def work(server: Server) -> Path:
    """A job's folder below a directory that is a link itself, as home directories of clusters are."""
    (server.folder / "disk" / "work" / "sub" / "deep").mkdir(parents=True)
    (server.folder / "alias").symlink_to("disk")
    folder = server.folder / "alias" / "work"
    for name in ("a.txt", "sub/d.txt", "sub/deep/e.txt", ".hidden", "odd ' name\n"):
        (folder / name).write_text(name)
    (server.folder / "disk" / "secret").write_text("secret")
    return folder


@both_ways
@pytest.mark.parametrize(
    ("links", "pattern", "brought"),
    [
        pytest.param({"out": "a.txt"}, "out", {"out": "a.txt"}, id="to a file"),
        pytest.param({"out": "sub/deep/e.txt"}, "ou*", {"out": "sub/deep/e.txt"}, id="to a file further down"),
        pytest.param({"sub/out": "../a.txt"}, "sub/out", {"sub/out": "a.txt"}, id="up and still inside"),
        pytest.param({"out": "{work}/a.txt"}, "out", {"out": "a.txt"}, id="by its whole path"),
        pytest.param({"out": "{real}/sub/d.txt"}, "out", {"out": "sub/d.txt"}, id="by its real whole path"),
        pytest.param({"out": "../work/a.txt"}, "out", {"out": "a.txt"}, id="out and in again"),
        pytest.param({"one": "two", "two": "three", "three": "a.txt"}, "one", {"one": "a.txt"}, id="a chain"),
        pytest.param({"out": "odd ' name\n"}, "out", {"out": "odd ' name\n"}, id="to an odd name"),
        pytest.param({"-x": ".hidden"}, "-x", {"-x": ".hidden"}, id="with an odd name"),
        pytest.param({"out": "nowhere"}, "out", {}, id="to nothing"),
        pytest.param({"out": "out"}, "out", {}, id="to itself"),
        pytest.param(
            {"out": "sub"}, "out", {"out/d.txt": "sub/d.txt", "out/deep/e.txt": "sub/deep/e.txt"}, id="to a folder"
        ),
        pytest.param({"out": "sub"}, "out/d.txt", {"out/d.txt": "sub/d.txt"}, id="through a link to a folder"),
        pytest.param({"out": "sub"}, "o*/*.txt", {"out/d.txt": "sub/d.txt"}, id="through a link by a pattern"),
        pytest.param({"x": "sub", "y": "x/deep"}, "y/*", {"y/e.txt": "sub/deep/e.txt"}, id="through two links"),
        pytest.param({"latest": "sub/deep", "out": "latest/e.txt"}, "out", {"out": "sub/deep/e.txt"}, id="over a link"),
        pytest.param(
            {"sub/deep/l.txt": "../../a.txt", "sub/dir": "deep"}, "sub",
            {"sub/d.txt": "sub/d.txt", "sub/deep/e.txt": "sub/deep/e.txt", "sub/deep/l.txt": "a.txt"},
            id="inside a folder that is brought whole",
        ),
        pytest.param(
            {"l.txt": "sub/deep/e.txt"}, "**/*.txt",
            {"a.txt": "a.txt", "l.txt": "sub/deep/e.txt", "sub/d.txt": "sub/d.txt", "sub/deep/e.txt": "sub/deep/e.txt"},
            id="among all",
        ),
        pytest.param({"out": "../secret"}, "out", None, id="out of the folder"),
        pytest.param({"out": "/etc/passwd"}, "out", None, id="out of the folder by a whole path"),
        pytest.param({"up": ".."}, "up/secret", None, id="through a link out of the folder"),
        pytest.param({"up": ".."}, "up", None, id="to the folder above"),
        pytest.param({"sub/in": "../../secret"}, "sub", None, id="out of a folder that is brought whole"),
        pytest.param({"one": "two", "two": "../secret"}, "one", None, id="out by a chain"),
        pytest.param({"out": "dir/secret", "dir": ".."}, "out", None, id="out over a link to a folder"),
        pytest.param({"[x]*": "sub", "out": "[x]*/d.txt"}, "out", {"out": "sub/d.txt"}, id="odd signs"),
        pytest.param({"out": "../nowhere"}, "out", None, id="out to nothing"),
        pytest.param({"out": "../nowhere"}, "ou*", None, id="out to nothing by a pattern"),
        pytest.param({"self": "."}, "self/a.txt", {"self/a.txt": "a.txt"}, id="to the folder itself"),
        pytest.param({"other": "../secret"}, "a.txt", {"a.txt": "a.txt"}, id="one that nobody asked for"),
    ],
)  # fmt: skip
def test_a_link_is_brought_as_what_it_leads_to_inside_the_folder_and_refused_outside(
    server: Server, work: Path, way: str, links: dict[str, str], pattern: str, brought: dict[str, str] | None
) -> None:
    for name, text in links.items():
        (work / name).symlink_to(text.format(work=work, real=work.resolve()))
    to = server.folder / "here"
    wanted = Download(folder=str(work), pattern=pattern, to=str(to))
    if brought is None:
        with pytest.raises(TransportError, match=rf"output {work}/.* leads out of {work} through "):
            get(way, server, wanted)
        assert [path for path in to.rglob("*") if path.is_file() and "secret" in path.read_text()] == []
        return
    [written] = get(way, server, wanted)
    assert {str(Path(path).relative_to(to)): Path(path).read_text() for path in written} == brought
    assert not any(Path(path).is_symlink() for path in written)


@both_ways
def test_links_of_one_output_do_not_disturb_another(server: Server, work: Path, way: str) -> None:
    (work / "l").symlink_to("a.txt")
    to = server.folder / "here"
    wanted = [
        Download(folder=str(work), pattern=pattern, to=f"{to}/{n}") for n, pattern in enumerate(["l", "a.txt", "no"])
    ]
    assert get(way, server, *wanted) == [[f"{to}/0/l"], [f"{to}/1/a.txt"], []]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        listener.bind(path.name)
        os.chdir(before)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@both_ways
@pytest.mark.parametrize("place", ["itself", "in a folder", "deep in a folder"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(pipe, "a named pipe", id="pipe"),
        pytest.param(bound_socket, "a socket", id="socket"),
        pytest.param(device, "a device", id="device"),
    ],
)
def test_what_is_no_file_is_refused_as_an_input_before_anything_is_sent(
    server: Server, way: str, place: str, make: Callable[[Path], None], kind: str
) -> None:
    if make is device and place != "itself":
        pytest.skip("a link in a folder stays a link, and making a device needs root")
    source = server.folder / "in"
    odd = {"itself": source, "in a folder": source / "odd", "deep in a folder": source / "x" / "odd"}[place]
    odd.parent.mkdir(parents=True, exist_ok=True)
    make(odd)
    good = server.folder / "good"
    good.write_text("x")
    target = server.home / "work"
    uploads: Sequence[Upload] = [
        Upload(target=f"{target}/good", path=str(good)),
        Upload(target=f"{target}/in", path=str(source)),
    ]
    with pytest.raises(TransportError, match=f"cannot send {odd}: it is {kind}, and only files and folders"):
        put(way, server, *uploads)
    assert not target.exists()
