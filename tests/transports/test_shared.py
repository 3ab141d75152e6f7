"""Many processes, one SSH connection: against an SSH server in the test, with brokers that are real processes."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from adapter import __version__
from adapter.errors import (
    AuthenticationError,
    CompletedCommand,
    ConfigError,
    ConnectError,
    OutcomeUnknown,
    TransportError,
)
from adapter.transports import transport_for
from adapter.transports.base import Download, Transfer, Upload
from adapter.transports.frames import Wire, idle_seconds, links_folder, place_of
from adapter.transports.shared import SharedTransport, link_statuses
from adapter.transports.ssh import SshTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Talk = Callable[[SharedTransport], Awaitable[Any]]

PASSWORD = "correct horse battery"
WAIT_S = 20.0


class Server:
    """An SSH server in a thread: it counts logins, runs real shells and serves real files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logins: list[str] = []
        self.attempts = 0
        self.hung_up = 0
        self.password: str | None = None
        self.code: str | None = None
        self._loop = asyncio.new_event_loop()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.port: int = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(WAIT_S)

    async def _listen(self) -> int:
        client = asyncssh.generate_private_key("ssh-ed25519")
        client.write_private_key(self.folder / "key")
        (self.folder / "key").chmod(0o600)
        client.write_public_key(self.folder / "authorized")
        config = f"Host *\n  User someone\n  IdentityFile {self.folder}/key\n  IdentityAgent none\n"
        (self.folder / "config").write_text(config)
        self._acceptor = await asyncssh.create_server(
            lambda: _Door(self), "127.0.0.1", 0, server_host_keys=[self._key], process_factory=self._process,
            sftp_factory=True, encoding=None,
        )  # fmt: skip
        port = self._acceptor.get_port()
        public = self._key.export_public_key().decode().strip()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
        return port

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or "/bin/sh"
        pipe = asyncio.subprocess.PIPE
        shell = await asyncio.create_subprocess_exec("/bin/sh", "-c", command, stdin=pipe, stdout=pipe, stderr=pipe)
        gone = asyncio.ensure_future(process.wait_closed())
        work = asyncio.ensure_future(self._talk(process, shell))
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self.hung_up += 1
            await asyncio.wait({work})
        gone.cancel()

    async def _talk(self, process: asyncssh.SSHServerProcess[bytes], shell: asyncio.subprocess.Process) -> None:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert shell.stderr is not None
        feed = _feed(process.stdin, shell.stdin)
        await asyncio.gather(feed, _copy(shell.stdout, process.stdout), _copy(shell.stderr, process.stderr))
        process.exit(await shell.wait())

    @property
    def connection(self) -> dict[str, Any]:
        known = {"config": str(self.folder / "config"), "known_hosts": str(self.folder / "known_hosts")}
        return {"kind": "ssh", "host": "127.0.0.1", "port": self.port, **known}

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        self._acceptor.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)  # commands that nobody waits for end by themselves


async def _feed(reader: Any, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        writer.write(await reader.read())
        await writer.drain()
    writer.close()


async def _copy(reader: asyncio.StreamReader, writer: Any) -> None:
    while chunk := await reader.read(1 << 16):
        with suppress(OSError):  # nobody listens; the command goes on
            writer.write(chunk)
            await writer.drain()


class _Door(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.attempts += 1

    def begin_auth(self, username: str) -> bool:
        if self._server.password is None and self._server.code is None:
            self._connection.set_authorized_keys(str(self._server.folder / "authorized"))
        return True

    def auth_completed(self) -> None:
        self._server.logins.append(self._connection.get_extra_info("username"))

    def password_auth_supported(self) -> bool:
        return self._server.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        return password == self._server.password

    def kbdint_auth_supported(self) -> bool:
        return self._server.code is not None

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "Your phone shows it. ", "", [("Password: ", False), ("Code: ", True)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return responses == [PASSWORD, self._server.code]


@dataclass
class Site:
    """The server, and the folder in which processes meet."""

    server: Server
    folder: Path
    share: str = "10m"
    told: list[str] = field(default_factory=list)

    @property
    def connection(self) -> dict[str, Any]:
        return {**self.server.connection, "share": self.share}

    def transport(self, prompt: Any = None) -> SharedTransport:
        return SharedTransport(self.connection, folder=self.folder, prompt=prompt, tell=self.told.append)

    def run(self, *talks: Talk, prompt: Any = None) -> list[Any]:
        """Do *talks* at once in this process, and return what came of each, errors too."""

        async def all_of_them() -> list[Any]:
            async with self.transport(prompt) as transport:
                return await asyncio.gather(*(talk(transport) for talk in talks), return_exceptions=True)

        return asyncio.run(asyncio.wait_for(all_of_them(), 60))

    def begin(self, script: str, *, answer: str | None = None) -> subprocess.Popen[str]:
        """Start another process that runs *script* on the host and prints the answer, or the error, as JSON."""
        given = {"connection": self.connection, "folder": str(self.folder), "script": script, "answer": answer}
        return subprocess.Popen(
            [sys.executable, "-c", OTHER_PROCESS, json.dumps(given)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def brokers(self) -> list[int]:
        return [status.pid for status in asyncio.run(link_statuses(self.folder))]

    def broker(self) -> int:
        (pid,) = self.brokers()
        return pid

    def close(self) -> None:
        pids = [status.pid for status in asyncio.run(link_statuses(self.folder, close=True))]
        eventually(lambda: not any(is_alive(pid) for pid in pids))


OTHER_PROCESS = """
import asyncio, json, sys, time
from pathlib import Path
from adapter.transports.shared import SharedTransport

given = json.loads(sys.argv[1])
asked = []

def prompt(text, seen):
    asked.append([text, seen])
    print("asked", file=sys.stderr, flush=True)
    if given["answer"] == "(waits)":
        time.sleep(60)
    return given["answer"]

async def main():
    options = {"folder": Path(given["folder"]), "prompt": prompt if given["answer"] else None}
    told = []
    async with SharedTransport(given["connection"], tell=told.append, **options) as transport:
        try:
            done = await transport.run("sh -s", stdin=given["script"], timeout_s=60)
            answer = {"exit_code": done.exit_code, "stdout": done.stdout}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps({**answer, "asked": asked, "told": told}))

asyncio.run(main())
"""


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert out, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def sh(script: str, timeout_s: float = 30) -> Talk:
    return lambda transport: transport.run("sh -s", stdin=script, timeout_s=timeout_s)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}  # a container's first process may not reap


def eventually(true: Callable[[], Any], within_s: float = WAIT_S) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it does not come true"
        time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    with tempfile.TemporaryDirectory(prefix="links-") as short:  # the path of a socket has at most 107 bytes
        site = Site(server, Path(short) / "links")
        yield site
        site.close()
    server.close()


# -- one connection


def test_ten_processes_at_once_log_in_once(site: Site) -> None:
    others = [site.begin(f"echo {number}; exit {number}") for number in range(10)]
    answers = [ended(other) for other in others]
    assert [(answer.get("exit_code"), answer.get("stdout")) for answer in answers] == [
        (number, f"{number}\n") for number in range(10)
    ]
    assert [answer["told"] for answer in answers] == [[]] * 10
    assert len(site.server.logins) == site.server.attempts == 1


def test_a_process_that_comes_later_finds_the_connection(site: Site) -> None:
    for _ in range(3):
        assert site.run(sh("echo here"))[0].stdout == "here\n"
    assert len(site.server.logins) == 1


def test_a_long_command_does_not_hold_up_a_short_one(site: Site, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    waits = f"while [ ! -e {flag} ]; do sleep 0.05; done; echo long"
    long, short = site.run(sh(waits), sh(f"echo short; : >{flag}"))
    assert (long.stdout, short.stdout) == ("long\n", "short\n")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo out; echo err >&2; exit 3", id="all three"),
        pytest.param("printf 'a\\377b\\r\\n'", id="not UTF-8"),
        pytest.param("kill -TERM $$", id="a signal"),
        pytest.param("printf 'ä\\0\\n'", id="NUL"),
    ],
)
def test_an_answer_is_that_of_a_direct_connection(site: Site, script: str) -> None:
    async def direct() -> Any:
        async with SshTransport(site.server.connection) as transport:
            return await sh(script)(transport)  # type: ignore[arg-type]

    assert site.run(sh(script))[0] == asyncio.run(direct())


def test_a_command_that_takes_too_long_is_unknown_and_what_it_printed_is_kept(site: Site) -> None:
    (late,) = site.run(sh("echo begun; sleep 3", timeout_s=0.7))
    assert isinstance(late, OutcomeUnknown)
    assert "longer than 0.7 s" in str(late)
    assert late.partial is not None
    assert late.partial.stdout == "begun\n"


def test_five_megabytes_go_in_and_come_out(site: Site) -> None:
    text = "0123456789abcde\n" * (5 << 16)
    (answer,) = site.run(lambda transport: transport.run("cat; echo end >&2", stdin=text, timeout_s=60))
    assert answer.stdout == text
    assert answer.stderr == "end\n"


def test_files_travel_both_ways(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far, here = tmp_path / "far", tmp_path / "here"
    here.mkdir()
    (here / "big").write_bytes(os.urandom(3 << 20))
    (here / "a program").write_text("#!/bin/sh\n")
    (here / "a program").chmod(0o755)
    uploads = [
        Upload(target=f"{far}/in/big", path="here/big"),  # relative: the broker is in another folder
        Upload(target=f"{far}/in/a program", path=str(here / "a program")),
        Upload(target=f"{far}/in/bytes", content=b"\0\xff"),
    ]
    downloads = [
        Download(folder=f"{far}/in", pattern="b*", to="back"),
        Download(folder=f"{far}/in", pattern="no*", to="x"),
    ]

    async def both(transport: SharedTransport) -> list[list[str]]:
        await transport.put(uploads, scratch=f"{far}/.files")
        return await transport.get(downloads, scratch=f"{far}/.files")

    monkeypatch.chdir(tmp_path)
    (written,) = site.run(both)
    assert [sorted(paths) for paths in written] == [["back/big", "back/bytes"], []]
    assert (tmp_path / "back" / "big").read_bytes() == (here / "big").read_bytes()
    assert (tmp_path / "back" / "bytes").read_bytes() == b"\0\xff"
    assert (far / "in" / "a program").stat().st_mode & 0o100


def test_how_far_files_are_is_told_to_who_sends_them_and_to_nobody_else(site: Site, tmp_path: Path) -> None:
    heard: list[Transfer] = []
    others: list[Transfer] = []
    content = b"x" * 5_000_000

    async def both() -> None:
        mine = SharedTransport(site.connection, folder=site.folder, on_transfer=heard.append)
        other = SharedTransport(site.connection, folder=site.folder, on_transfer=others.append)
        async with mine, other:
            await other.run("true", timeout_s=20)
            upload = Upload(target=f"{tmp_path}/far/in", content=content)
            await asyncio.gather(mine.put([upload], scratch=f"{tmp_path}/far/.files"), other.run("true", timeout_s=20))

    asyncio.run(asyncio.wait_for(both(), 60))
    assert heard[-1] == Transfer("sending", len(content), len(content))
    assert others == []


def test_a_file_that_cannot_be_put_is_named(site: Site, tmp_path: Path) -> None:
    upload = Upload(target=f"{tmp_path}/far/x", path=str(tmp_path / "nothing"))
    (error,) = site.run(lambda transport: transport.put([upload], scratch=f"{tmp_path}/far"))
    assert type(error) is TransportError
    assert str(tmp_path / "nothing") in str(error)


def test_a_host_that_cannot_be_reached_is_a_connect_error_and_the_broker_stays(site: Site) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        unreachable = {**site.connection, "port": nobody.getsockname()[1]}

        async def attempt() -> None:
            async with SharedTransport(unreachable, folder=site.folder) as transport:
                await sh("true")(transport)

        with pytest.raises(ConnectError, match="cannot reach"):
            asyncio.run(attempt())
    assert len(site.brokers()) == 1


# -- prompts


def test_a_password_is_asked_for_once_for_all(site: Site) -> None:
    site.server.password = PASSWORD
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, seen: bool) -> str:
        asked.append((text, seen))
        return PASSWORD

    assert site.run(sh("echo 1"), sh("echo 2"), prompt=prompt)[1].stdout == "2\n"
    assert site.run(sh("echo 3"), prompt=prompt)[0].stdout == "3\n"
    assert ended(site.begin("echo 4"))["stdout"] == "4\n"
    assert asked == [("Password: ", False)]
    assert not any(PASSWORD in path.read_text() for path in site.folder.iterdir() if path.is_file())


def test_five_processes_at_once_ask_one_person_once(site: Site) -> None:
    site.server.password = PASSWORD
    answers = [ended(other) for other in [site.begin("true", answer=PASSWORD) for _ in range(5)]]
    assert [answer.get("exit_code") for answer in answers] == [0] * 5
    assert sum(len(answer["asked"]) for answer in answers) == 1


def test_a_second_factor_is_asked_for_once(site: Site) -> None:
    site.server.code = "271828"
    asked: list[tuple[str, bool]] = []

    def prompt(text: str, seen: bool) -> str:
        asked.append((text, seen))
        return "271828" if "Code" in text else PASSWORD

    assert site.run(sh("echo 1"), sh("echo 2"), prompt=prompt)[1].stdout == "2\n"
    assert ended(site.begin("echo 3"))["stdout"] == "3\n"
    assert [(text.partition(" it. ")[2], seen) for text, seen in asked] == [("Password: ", False), ("Code: ", True)]


def test_where_nobody_answers_the_refusal_is_told_and_not_repeated_at_once(site: Site) -> None:
    site.server.password = PASSWORD
    (first,) = site.run(sh("true"))
    assert isinstance(first, AuthenticationError)
    eventually(lambda: not site.brokers())
    (second,) = site.run(sh("true"))
    assert isinstance(second, AuthenticationError)
    assert "refused 0 s ago" in str(second) or "s ago; not tried again" in str(second)
    assert site.server.attempts == 1


def test_after_a_refusal_a_person_may_try_at_once(site: Site) -> None:
    site.server.password = PASSWORD
    (refused,) = site.run(sh("true"), prompt=lambda text, seen: "wrong")
    assert isinstance(refused, AuthenticationError)
    (answer,) = site.run(sh("echo in"), prompt=lambda text, seen: PASSWORD)
    assert answer.stdout == "in\n"
    assert site.run(sh("echo in"))[0].stdout == "in\n"


def test_a_transport_that_was_refused_does_not_try_again(site: Site) -> None:
    site.server.password = PASSWORD

    async def twice(transport: SharedTransport) -> list[Any]:
        return [await asyncio.gather(sh("true")(transport), return_exceptions=True) for _ in range(2)]

    asked: list[str] = []
    site.run(twice, prompt=lambda text, seen: asked.append(text))
    assert asked == ["Password: "]
    assert site.server.attempts == 1


def test_when_the_one_who_is_asked_dies_the_next_in_line_is_asked(site: Site) -> None:
    site.server.password = PASSWORD
    first = site.begin("true", answer="(waits)")
    assert first.stderr is not None
    assert first.stderr.readline() == "asked\n"
    second = site.begin("echo second", answer=PASSWORD)
    eventually(lambda: [status.under_way for status in asyncio.run(link_statuses(site.folder))] == [2])
    first.kill()
    answer = ended(second)
    assert (answer.get("stdout"), len(answer["asked"])) == ("second\n", 1), answer
    first.communicate()


# -- ends


def test_a_broker_that_is_killed_leaves_the_outcome_unknown_and_the_next_request_has_a_new_one(
    site: Site, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    async def story(transport: SharedTransport) -> Any:
        run = asyncio.create_task(sh(f"echo x >>{begun}; sleep 2")(transport))
        while not begun.exists():
            await asyncio.sleep(0.02)
        (status,) = await link_statuses(site.folder)
        os.kill(status.pid, signal.SIGKILL)
        with pytest.raises(OutcomeUnknown, match="shared connection"):
            await run
        again = await sh("echo again")(transport)
        return status.pid, again.stdout

    ((pid, said),) = site.run(story)
    assert said == "again\n"
    assert site.broker() != pid
    assert begun.read_text() == "x\n", "a command was repeated"
    assert len(site.server.logins) == 2


def test_whenever_a_broker_is_killed_what_is_told_is_true(site: Site, tmp_path: Path) -> None:
    done = tmp_path / "done"
    done.touch()

    async def story(transport: SharedTransport) -> list[Any]:
        told: list[Any] = []

        async def one(number: int) -> None:
            pause_s = number % 7 / 200
            await asyncio.sleep(pause_s)
            answer = await asyncio.gather(sh(f"echo {number} >>{done}")(transport), return_exceptions=True)
            told.append((number, answer[0]))

        for turn in range(6):
            await sh("true")(transport)
            (status,) = await link_statuses(site.folder)
            work = asyncio.gather(*(one(turn * 100 + number) for number in range(20)))
            await asyncio.sleep(turn / 100)
            os.kill(status.pid, signal.SIGKILL)
            await work
            while any(is_alive(pid) for pid in [status.pid]):
                await asyncio.sleep(0.01)
        return told

    (told,) = site.run(story)
    time.sleep(0.5)  # what was begun, and its answer lost, may still come
    written = done.read_text().split()
    for number, answer in told:
        times = written.count(str(number))
        if isinstance(answer, ConnectError):
            assert times == 0
        elif isinstance(answer, OutcomeUnknown):
            assert times <= 1
        else:
            assert (answer.exit_code, times) == (0, 1)
    assert len(told) == 120
    assert {type(answer) for _, answer in told} <= {ConnectError, OutcomeUnknown, CompletedCommand}
    assert any(isinstance(answer, OutcomeUnknown | ConnectError) for _, answer in told)


def test_a_request_that_no_broker_began_is_a_connect_error(site: Site) -> None:
    async def story(transport: SharedTransport) -> Any:
        await sh("true")(transport)
        (status,) = await link_statuses(site.folder)
        os.kill(status.pid, signal.SIGSTOP)
        run = asyncio.create_task(sh("true")(transport))
        await asyncio.sleep(0.2)
        os.kill(status.pid, signal.SIGKILL)
        await run

    (error,) = site.run(story)
    assert isinstance(error, ConnectError)
    assert "nothing was begun" in str(error)


def test_a_process_that_is_killed_does_not_take_its_command_with_it(site: Site, tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"
    other = site.begin(f": >{begun}; sleep 1; echo said; : >{done}")
    eventually(begun.exists)
    other.kill()
    other.communicate()
    eventually(done.exists)
    eventually(lambda: [status.under_way for status in asyncio.run(link_statuses(site.folder))] == [0])
    assert site.server.hung_up == 0
    assert site.run(sh("echo more"))[0].stdout == "more\n"


def test_a_cancelled_request_is_cancelled_in_the_broker(site: Site, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def story(transport: SharedTransport) -> None:
        run = asyncio.create_task(sh(f": >{begun}; sleep 2")(transport))
        while not begun.exists():
            await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert (await sh("echo on")(transport)).stdout == "on\n"

    assert site.run(story) == [None]
    eventually(lambda: site.server.hung_up == 1)


def test_a_broker_without_work_ends_and_leaves_nothing_behind_that_listens(site: Site) -> None:
    site.share = "1s"
    site.run(sh("true"))
    pid = site.broker()
    eventually(lambda: not is_alive(pid))
    assert list(site.folder.glob("*.sock*")) == []
    assert site.run(sh("echo new"))[0].stdout == "new\n"


def test_a_process_that_stays_outlives_the_broker_and_has_the_next(site: Site) -> None:
    site.share = "1s"

    async def story(transport: SharedTransport) -> str:
        await sh("true")(transport)
        (status,) = await link_statuses(site.folder)
        while is_alive(status.pid):
            await asyncio.sleep(0.05)
        return (await sh("echo on")(transport)).stdout

    assert site.run(story) == ["on\n"]


def test_a_broker_that_is_told_to_end_finishes_what_is_under_way_and_begins_nothing(site: Site, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def story(transport: SharedTransport) -> Any:
        run = asyncio.create_task(sh(f": >{begun}; sleep 1; echo whole")(transport))
        while not begun.exists():
            await asyncio.sleep(0.02)
        (status,) = await link_statuses(site.folder)
        os.kill(status.pid, signal.SIGTERM)
        await asyncio.sleep(0.3)
        other = await sh("echo by the next")(transport)
        return (await run).stdout, other.stdout, status.pid

    ((first, second, pid),) = site.run(story)
    assert (first, second) == ("whole\n", "by the next\n")
    eventually(lambda: not is_alive(pid))
    assert site.broker() != pid


# -- who may, and what else can be


def test_nobody_else_can_enter(site: Site) -> None:
    before = os.umask(0)
    try:
        site.run(sh("true"))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [site.folder, *site.folder.iterdir()]}
    assert modes.pop("links") == 0o700
    assert set(modes.values()) == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_another_user_is_refused_even_where_the_folder_is_open(site: Site) -> None:
    site.run(sh("true"))
    nobody = pwd.getpwnam("nobody").pw_uid
    place = place_of(site.connection, site.folder)
    mine = site.folder.parent
    while mine != mine.parent and mine != Path("/tmp"):
        mine.chmod(0o755)
        mine = mine.parent
    site.folder.chmod(0o755)
    place.socket.chmod(0o666)
    script = (
        f"import os, socket; os.setuid({nobody}); s = socket.socket(socket.AF_UNIX); s.settimeout(10);"
        f's.connect("{place.socket}"); print(s.recv(10))'
    )
    asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert asked.stdout == "b''\n", asked.stderr
    assert f"refused user {nobody}" in place.log.read_text()


def test_a_broker_of_another_version_is_left_alone_and_the_reason_told(site: Site) -> None:
    async def story() -> str:
        place = place_of(site.connection, site.folder)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(place.socket))
        listener.listen()
        listener.setblocking(False)

        async def old_broker() -> None:
            sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            wire = Wire(sock)
            await wire.receive()
            await wire.send({"do": "hello", "version": "0.0.1"})
            await wire.receive()
            await wire.close()

        old = asyncio.create_task(old_broker())
        async with site.transport() as transport:
            answer = await sh("echo direct")(transport)
        await old
        listener.close()
        return answer.stdout

    assert asyncio.run(story()) == "direct\n"
    (why,) = site.told
    assert "0.0.1" in why
    assert __version__ in why


def test_where_no_folder_can_be_made_the_connection_is_direct(site: Site) -> None:
    site.folder.write_text("a file")
    assert site.run(sh("echo direct"))[0].stdout == "direct\n"
    assert len(site.told) == 1
    site.folder.unlink()


def test_a_folder_with_a_very_long_path_has_a_short_one_in_its_stead(site: Site, tmp_path: Path) -> None:
    site.folder = tmp_path / ("long" * 30) / "links"
    assert site.run(sh("echo short"))[0].stdout == "short\n"
    assert site.told == []
    assert links_folder(site.folder) != site.folder
    assert stat.S_IMODE(links_folder(site.folder).stat().st_mode) == 0o700


def test_a_socket_that_nobody_listens_at_is_replaced(site: Site) -> None:
    site.run(sh("true"))
    os.kill(site.broker(), signal.SIGKILL)
    eventually(lambda: not site.brokers())
    assert list(site.folder.glob("*.sock"))
    assert site.run(sh("echo anew"))[0].stdout == "anew\n"


def test_different_settings_have_different_connections(tmp_path: Path) -> None:
    one = {"kind": "ssh", "host": "a", "user": None, "share": True}
    assert place_of(one, tmp_path) == place_of({"host": "a", "kind": "ssh", "share": "5m"}, tmp_path)
    assert place_of(one, tmp_path) != place_of({**one, "user": "b"}, tmp_path)


@pytest.mark.parametrize(
    ("share", "idle_s"),
    [(None, 600), (True, 600), (False, None), ("90m", 5400), (30, 30), ("0s", None)],
    ids=["unset", "true", "false", "a text", "a number", "nothing"],
)
def test_share_is_yes_no_or_a_length_of_time(share: Any, idle_s: float | None) -> None:
    assert idle_seconds({"share": share}) == idle_s


def test_a_connection_is_shared_only_where_there_is_a_folder_and_nobody_objects(tmp_path: Path) -> None:
    ssh = {"kind": "ssh", "host": "a"}
    assert isinstance(transport_for(ssh), SshTransport)
    assert isinstance(transport_for(ssh, share_folder=tmp_path), SharedTransport)
    assert isinstance(transport_for({**ssh, "share": False}, share_folder=tmp_path), SshTransport)
    with pytest.raises(ConfigError, match=r"connection\.share"):
        transport_for({**ssh, "share": "soon"}, share_folder=tmp_path)


def test_links_lists_what_is_open_and_closes_it(site: Site) -> None:
    site.run(sh("true"))
    pid = site.broker()
    environ = {**os.environ, "ADAPTER_STATE": str(site.folder.parent)}

    def links(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "adapter", "links", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)

    (listed,) = json.loads(links("--json").stdout)
    assert (listed["host"], listed["pid"], listed["under_way"]) == ("127.0.0.1", pid, 0)
    assert listed["logged_in_at"] == pytest.approx(time.time(), abs=60)
    assert links("--close").stdout.startswith("127.0.0.1  since ")
    eventually(lambda: not is_alive(pid))
    assert links().stderr == "adapter: no shared connection is open\n"
