"""Ten shells, one login: ``adapter`` with ``client: openssh`` and a real sshd; connections are counted on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from adapter.transports.masters import masters
from tests.live.ssh_site import PASSWORD_USER, USER, SshSite, ssh_site
from tests.live.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Coroutine

WAIT_S = 120.0


@pytest.fixture(scope="module")
def site() -> SshSite:
    return ssh_site()


@dataclass(frozen=True)
class Shell:
    """Runs ``adapter`` as a new user would, against the host behind a wire."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        own = {"HOME": str(self.folder), "ADAPTER_STATE": str(self.folder / "state"), "TERM": "dumb"}
        own["ADAPTER_PATH"] = str(self.folder / "backends")
        return {key: value for key, value in os.environ.items() if not key.startswith("ADAPTER")} | own

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "adapter", *words]

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run ``adapter`` where there is no terminal."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.argv(*words), cwd=self.folder, env=self.environ, stdin=asyncio.subprocess.DEVNULL, stdout=pipe,
            stderr=pipe, start_new_session=True,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def on_terminal(self, words: list[str], password: str) -> tuple[int, str]:
        """Run ``adapter`` on a terminal and type *password* whenever it is asked for; return what was on the screen."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, self.argv(*words), self.environ)
        shown, answered, until = "", 0, time.monotonic() + WAIT_S
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536).decode(errors="replace")
                except OSError:  # the end, on Linux
                    break
            if shown.lower().count("password:") > answered:
                answered += 1
                os.write(terminal, f"{password}\n".encode())
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown

    async def close(self) -> None:
        await masters(self.folder / "state" / "links", close=True)


def shell_for(site: SshSite, folder: Path, wire: Wire, user: str) -> Shell:
    """Write what a user needs: the SSH configuration, and a backend ``cluster`` on the host behind *wire*."""
    options = [f"HostName 127.0.0.1\n  Port {wire.port}\n  HostKeyAlias target\n  User {user}"]
    options += [f"IdentityFile {site.key}", "IdentityAgent none", f"UserKnownHostsFile {site.known_hosts}"]
    (folder / "config").write_text("Host wired\n  " + "\n  ".join(options) + "\n")
    backend = {
        "format": 1,
        "name": "cluster",
        "extends": "local",
        "connection": {"kind": "ssh", "client": "openssh", "host": "wired", "config": str(folder / "config")},
        "workspace": f"~/.adapter-live-tests/{folder.name}",
    }
    (folder / "backends").mkdir()
    (folder / "backends" / "cluster.yaml").write_text(json.dumps(backend))
    return Shell(folder)


def story(told: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(told, 300))


def test_ten_commands_at_once_log_in_once(site: SshSite, tmp_path: Path) -> None:
    async def told() -> None:
        async with Wire(site.target_port) as wire, contextlib.AsyncExitStack() as stack:
            shell = shell_for(site, tmp_path, wire, USER)
            stack.push_async_callback(shell.close)
            ends = await asyncio.gather(*(shell.run("run", "--on", "cluster", "--", "true") for _ in range(10)))
            assert [code for code, _, _ in ends] == [0] * 10, [err for _, _, err in ends]
            assert wire.connections == 1
            code, out, _ = await shell.run("links", "--json")
            assert code == 0
            assert [link["host"] for link in json.loads(out)] == ["wired"]
            assert (await shell.run("links", "--close"))[0] == 0
            assert json.loads((await shell.run("links", "--json"))[1]) == []

    story(told())


def test_a_password_is_typed_once_for_three_commands(site: SshSite, tmp_path: Path) -> None:
    async def told() -> None:
        async with Wire(site.target_port) as wire, contextlib.AsyncExitStack() as stack:
            shell = shell_for(site, tmp_path, wire, PASSWORD_USER)
            stack.push_async_callback(shell.close)
            words = ["run", "--on", "cluster", "--", "echo", "done", "there"]
            screens = [await asyncio.to_thread(shell.on_terminal, words, site.password) for _ in range(3)]
            assert [code for code, _ in screens] == [0, 0, 0], screens
            assert [shown.lower().count("password:") for _, shown in screens] == [1, 0, 0]
            assert "wired: " in screens[0][1]
            assert all("done there" in shown for _, shown in screens)
            assert not any(site.password in shown for _, shown in screens), "it was shown"
            assert wire.connections == 1
            code, out, err = await shell.run(*words)  # where there is no terminal
            assert (code, out) == (0, "done there\n"), err
            for path in (tmp_path / "state").rglob("*"):
                assert not path.is_file() or site.password.encode() not in path.read_bytes()

    story(told())


def test_a_password_that_nobody_can_type_is_refused_once_and_then_left_alone(site: SshSite, tmp_path: Path) -> None:
    async def told() -> None:
        async with Wire(site.target_port) as wire, contextlib.AsyncExitStack() as stack:
            shell = shell_for(site, tmp_path, wire, PASSWORD_USER)
            stack.push_async_callback(shell.close)
            runs = (shell.run("run", "--on", "cluster", "--", "true") for _ in range(3))
            for code, _, err in await asyncio.gather(*runs):
                assert code == 4, err
                assert "does not let us in" in err
            assert wire.connections == 1

    story(told())
