"""Both SSH clients against a server in this process: real shells, real files, no root and no sshd."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from adapter.errors import AuthenticationError, ConnectError, OutcomeUnknown, TransportError
from adapter.results import CompletedCommand
from adapter.transports import openssh, ssh
from adapter.transports.base import Download, Transfer, Transport, Upload
from adapter.transports.far import STREAM_SHELL, FarTransport
from adapter.transports.masters import masters
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

SERVER_KEY, USER_KEY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))


@dataclass(slots=True)
class Server:
    """What the server lets in, how it misbehaves, and what it has seen."""

    folder: Path
    client: str
    links: Path
    """Where the masters of openssh are; a short path, as that of a socket has to be."""
    port: int = 0
    password: str | None = None
    code: str | None = None
    keys: bool = True
    says_too_many: bool = False
    refuses_channels: bool = False
    logins: int = 0
    asked: int = 0
    file_bytes: int = 0
    on_write: Callable[[Server], None] | None = None
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def scratch(self) -> str:
        return str(self.home / "scratch")

    def transport(self, **rest: Any) -> FarTransport:
        connection = {"kind": "ssh", "host": "127.0.0.1", "port": self.port, "user": "somebody"}
        known = self.folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {SERVER_KEY.export_public_key().decode()}")
        options = {
            "config": None, "known_hosts": str(known), "client_keys": [USER_KEY], "agent_path": None,
            "preferred_auth": "publickey,keyboard-interactive,password", **rest,
        }  # fmt: skip
        return SshTransport(connection, **options) if self.client == "asyncssh" else self._openssh(connection, options)

    def _openssh(self, connection: dict[str, Any], options: dict[str, Any]) -> OpenSshTransport:
        key = self.folder / "user_key"
        key.write_bytes(USER_KEY.export_private_key())
        key.chmod(0o600)
        config = self.folder / "no_config"
        config.write_text("")
        more = {"IdentityFile": str(key) if options["client_keys"] else "none", "IdentitiesOnly": "yes"}
        return OpenSshTransport(
            {**connection, "config": options["config"] or str(config), "known_hosts": options["known_hosts"]},
            folder=self.links, prompt=options.get("prompt"), on_transfer=options.get("on_transfer"),
            IdentityAgent="none", GlobalKnownHostsFile="none", PreferredAuthentications=options["preferred_auth"],
            **(more if options["client_keys"] != () else {}),
        )  # fmt: skip


class _Auth(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        self.server.logins += 1
        self.server.connections.append(connection)

    def session_requested(self) -> Any:
        if self.server.refuses_channels:
            return False
        return asyncssh.SSHServerProcess(lambda process: _run_shell(process, self.server), None, 3, False)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        if self.server.says_too_many:
            raise asyncssh.ProtocolError("Too many authentication failures")
        return self.server.keys and key.public_data == USER_KEY.public_data

    def password_auth_supported(self) -> bool:
        return self.server.password is not None

    def validate_password(self, username: str, password: str) -> bool:
        self.server.asked += 1
        return password == self.server.password

    def kbdint_auth_supported(self) -> bool:
        return self.server.code is not None

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "Two factors, please. ", "", [("Password: ", False), ("Code: ", True)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        self.server.asked += 1
        return list(responses) == [self.server.password or "", self.server.code]


async def _run_shell(process: asyncssh.SSHServerProcess[bytes], server: Server) -> None:
    home = server.home
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "", cwd=home, env={"PATH": os.environ["PATH"], "HOME": str(home)},
        stdin=-1, stdout=-1, stderr=-1,
    )  # fmt: skip
    assert shell.stdin
    assert shell.stdout
    assert shell.stderr

    async def up() -> None:
        assert shell.stdin
        with suppress(asyncssh.Error, OSError):
            while chunk := await process.stdin.read(1 << 16):
                if process.command == STREAM_SHELL:
                    server.file_bytes += len(chunk)
                    if server.on_write:
                        server.on_write(server)
                shell.stdin.write(chunk)
                await shell.stdin.drain()
        shell.stdin.close()

    async def down(reader: asyncio.StreamReader, writer: asyncssh.SSHWriter[bytes]) -> None:
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()

    feeding = asyncio.create_task(up())
    try:
        with suppress(asyncssh.Error, OSError):
            await asyncio.gather(down(shell.stdout, process.stdout), down(shell.stderr, process.stderr))
        code = await shell.wait()
        if code < 0:
            process.exit_with_signal("KILL")
        else:
            process.exit(code)
    finally:
        feeding.cancel()
        with suppress(ProcessLookupError):
            shell.kill()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[None]:
    server.home.mkdir(exist_ok=True)
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[SERVER_KEY], server_factory=lambda: _Auth(server),
        encoding=None,
    )  # fmt: skip
    server.port = listener.get_port()
    try:
        yield
    finally:
        listener.close()
        for connection in server.connections:
            connection.abort()
        await listener.wait_closed()


@pytest.fixture(params=["asyncssh", "openssh"])
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Server]:
    monkeypatch.setenv("HOME", str(tmp_path))  # whoever runs this has keys and a configuration of their own
    links = Path(tempfile.mkdtemp(prefix="links-", dir="/tmp"))
    yield Server(tmp_path, request.param, links)
    asyncio.run(masters(links, close=True))
    shutil.rmtree(links)


def wait_between_logins(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for client in (ssh, openssh):
        monkeypatch.setattr(client, "ATTEMPT_INTERVAL_S", seconds)


def with_transport(server: Server, use: Callable[[FarTransport], Awaitable[Any]], **rest: Any) -> Any:
    async def story() -> Any:
        async with serving(server), server.transport(**rest) as transport:
            return await asyncio.wait_for(use(transport), 30)

    return asyncio.run(story())


def run(server: Server, command: str, *, stdin: str = "", timeout_s: float = 20, **rest: Any) -> CompletedCommand:
    answer: CompletedCommand = with_transport(
        server, lambda transport: transport.run(command, stdin=stdin, timeout_s=timeout_s), **rest
    )
    return answer


def put(server: Server, *uploads: Upload, times: int = 1, **rest: Any) -> None:
    async def use(transport: FarTransport) -> None:
        for _ in range(times):
            await transport.put(uploads, scratch=server.scratch)

    with_transport(server, use, **rest)


def get(server: Server, *downloads: Download) -> list[list[str]]:
    brought: list[list[str]] = with_transport(
        server, lambda transport: transport.get(downloads, scratch=server.scratch)
    )
    return brought


# -- commands


def test_it_is_a_transport() -> None:
    assert isinstance(SshTransport({"kind": "ssh", "host": "nowhere"}), Transport)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param("true", 0, id="success"),
        pytest.param("exit 3", 3, id="exit-3"),
        pytest.param("exit 255", 255, id="exit-255"),
        pytest.param("nosuchcommand", 127, id="not-found"),
        pytest.param("kill -9 $$", -1, id="signal"),
    ],
)
def test_an_exit_code_is_an_answer_and_never_an_error(server: Server, command: str, code: int) -> None:
    completed = run(server, command)
    assert (completed.exit_code, completed.command) == (code, command)


def test_standard_output_and_error_come_back_apart_and_as_they_were(server: Server) -> None:
    completed = run(server, "echo out; echo err >&2; printf ' no end '; printf 'a\\r\\nb' >&2")
    assert (completed.stdout, completed.stderr) == ("out\n no end ", "err\na\r\nb")


def test_bytes_that_are_not_utf_8_do_no_harm(server: Server) -> None:
    completed = run(server, "printf 'a\\377b \\303\\251'; printf '\\200' >&2")
    assert (completed.stdout, completed.stderr) == ("a\ufffdb é", "\ufffd")


def test_standard_input_is_given_and_without_any_it_is_empty(server: Server) -> None:
    assert run(server, "cat", stdin="é\n$(id)\n").stdout == "é\n$(id)\n"
    assert run(server, "cat; echo end").stdout == "end\n"


def test_large_input_and_output_travel_whole(server: Server) -> None:
    text = "0123456789abcde\n" * 200_000
    completed = run(server, "tee /dev/stderr", stdin=text)
    assert completed.stdout == text == completed.stderr


def test_input_that_nobody_reads_does_not_block(server: Server) -> None:
    assert run(server, "exit 4", stdin="x" * 5_000_000).exit_code == 4


def test_many_commands_share_one_login(server: Server) -> None:
    async def use(transport: FarTransport) -> list[CompletedCommand]:
        return await asyncio.gather(*(transport.run(f"echo {n}; exit {n}", timeout_s=20) for n in range(12)))

    assert [(each.exit_code, each.stdout) for each in with_transport(server, use)] == [(n, f"{n}\n") for n in range(12)]
    assert server.logins == 1


def test_a_command_that_takes_too_long_is_given_up_with_what_it_has_said(server: Server) -> None:
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"took longer than 0\.5 s on 127\.0\.0\.1") as caught:
        run(server, "echo partial; echo words >&2; exec sleep 100", timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert caught.value.partial
    assert (caught.value.partial.stdout, caught.value.partial.stderr) == ("partial\n", "words\n")


def test_a_connection_lost_in_the_middle_leaves_the_outcome_unknown_with_what_was_said(server: Server) -> None:
    async def use(transport: FarTransport) -> OutcomeUnknown:
        work = asyncio.create_task(transport.run("echo partial; exec sleep 100", timeout_s=20))
        await asyncio.sleep(0.4)
        server.connections[0].abort()
        with pytest.raises(OutcomeUnknown, match="was lost") as caught:
            await work
        return caught.value

    partial = with_transport(server, use).partial
    assert partial
    assert partial.stdout == "partial\n"


def test_after_a_lost_connection_the_next_command_logs_in_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_between_logins(monkeypatch, 0.3)

    async def use(transport: FarTransport) -> str:
        await transport.run("true", timeout_s=20)
        server.connections[0].abort()
        await asyncio.sleep(0.1)
        return (await transport.run("echo back", timeout_s=20)).stdout

    assert with_transport(server, use) == "back\n"
    assert server.logins == 2


@pytest.mark.parametrize("server", ["asyncssh"], indirect=True)  # openssh finds no master, and logs in again
@pytest.mark.parametrize(
    ("stdin", "error"),
    [
        pytest.param("echo nothing was begun", ConnectError, id="a shell that waits for its script"),
        pytest.param("", OutcomeUnknown, id="a command that may have begun"),
    ],
)
def test_a_connection_lost_while_a_channel_opens_is_no_refusal_of_channels(
    server: Server, monkeypatch: pytest.MonkeyPatch, stdin: str, error: type[TransportError]
) -> None:
    wait_between_logins(monkeypatch, 0.1)

    async def use(transport: FarTransport) -> float:
        await transport.run("true", timeout_s=20)
        server.connections[0].abort()  # nobody here knows it yet
        with pytest.raises(error, match=r"the connection to 127\.0\.0\.1 was lost"):
            await transport.run("sh -s", stdin=stdin, timeout_s=20)
        began = time.monotonic()
        await asyncio.gather(*(transport.run("sleep 0.5", timeout_s=20) for _ in range(4)))
        return time.monotonic() - began

    assert with_transport(server, use) < 1.8, "one after the other: the cut was taken for a limit of one channel"


# -- logging in


def prompter(*answers: str | None) -> tuple[Callable[[str, bool], str | None], list[tuple[str, bool]]]:
    asked: list[tuple[str, bool]] = []
    left = list(answers)

    def prompt(text: str, seen: bool) -> str | None:
        asked.append((text, seen))
        return left.pop(0) if left else None

    return prompt, asked


def test_a_password_is_asked_for_and_not_shown(server: Server) -> None:
    server.password = "right"
    prompt, asked = prompter("right")
    assert run(server, "echo in", prompt=prompt, client_keys=None).stdout == "in\n"
    assert asked == [({"asyncssh": "Password: "}.get(server.client, "somebody@127.0.0.1's password: "), False)]


def test_a_second_password_helps_after_a_wrong_one(server: Server) -> None:
    server.password = "right"
    prompt, asked = prompter("wrong", "right")
    assert run(server, "echo in", prompt=prompt, client_keys=None).stdout == "in\n"
    assert len(asked) == 2


def test_a_wrong_password_ends_after_a_few_questions_and_no_further_login_is_made(server: Server) -> None:
    server.password = "right"
    prompt, asked = prompter(*["wrong"] * 20)

    async def use(transport: FarTransport) -> None:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match=r"does not let us in: .* no further attempt is made"):
                await transport.run("true", timeout_s=20)

    with_transport(server, use, prompt=prompt, client_keys=None)
    assert len(asked) == server.asked == 3
    assert server.logins == 1


def test_password_and_code_are_asked_for_one_by_one(server: Server) -> None:
    server.password, server.code = "secret", "123456"
    prompt, asked = prompter("secret", "123456")
    assert run(server, "echo in", prompt=prompt, client_keys=None).stdout == "in\n"
    words = {
        "asyncssh": [("Two factors, please. Password: ", False), ("Two factors, please. Code: ", True)],
        # ssh does not tell its askpass what may be seen
        "openssh": [
            ("Two factors, please.\n(somebody@127.0.0.1) Password: ", False),
            ("(somebody@127.0.0.1) Code: ", False),
        ],
    }
    assert asked == words[server.client]


def test_where_nobody_can_answer_nothing_is_guessed(server: Server) -> None:
    server.password, server.code = "secret", "123456"
    with pytest.raises(AuthenticationError, match="does not let us in"):
        run(server, "true", client_keys=None)
    assert (server.asked, server.logins) == (0, 1)


def test_the_time_that_a_person_takes_to_answer_does_not_count(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT_S", 1.0)
    server.password = "right"

    def slowly(text: str, seen: bool) -> str:
        time.sleep(1.5)
        return "right"

    assert run(server, "echo in", prompt=slowly, client_keys=None).stdout == "in\n"


def _locked_key(server: Server) -> Path:
    path = server.folder / "locked"
    USER_KEY.write_private_key(path, passphrase="open sesame")
    USER_KEY.write_public_key(path.with_suffix(".pub"))
    path.chmod(0o600)
    return path


def _config(server: Server, key: Path) -> str:
    config = server.folder / "config"
    config.write_text(f"IdentityFile {key}\nIdentitiesOnly yes\n")
    return str(config)


def test_for_an_encrypted_key_that_nobody_can_open_it_is_said_what_to_do(server: Server) -> None:
    key = _locked_key(server)
    with pytest.raises(AuthenticationError) as refused:
        run(server, "true", client_keys=(), config=_config(server, key))
    what_to_do = {
        "asyncssh": f"the key {key} needs its passphrase: `ssh-add {key}`",
        "openssh": "Nobody could be asked here; any command of adapter on a terminal asks, and opens the connection",
    }
    assert what_to_do[server.client] in str(refused.value)


def test_the_passphrase_of_an_encrypted_key_is_asked_for(server: Server) -> None:
    key = _locked_key(server)
    prompt, asked = prompter("open sesame")
    done = run(server, "echo in", client_keys=(), config=_config(server, key), prompt=prompt)
    assert done.stdout == "in\n"
    words = {"asyncssh": f"Passphrase of {key}: ", "openssh": f"Enter passphrase for key '{key}': "}
    assert asked == [(words[server.client], False)]


def test_an_open_key_needs_no_question(server: Server) -> None:
    prompt, asked = prompter()
    assert run(server, "echo in", prompt=prompt).stdout == "in\n"
    assert asked == []


def test_a_server_that_counts_too_many_keys_is_not_asked_again(server: Server) -> None:
    server.says_too_many = True

    async def use(transport: FarTransport) -> None:
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="Too many authentication failures"):
                await transport.run("true", timeout_s=20)

    with_transport(server, use)
    assert server.logins == 1


def test_between_two_logins_some_time_passes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_between_logins(monkeypatch, 0.6)

    async def use(transport: FarTransport) -> list[float]:
        times = []
        for _ in range(3):
            times.append(time.monotonic())
            with pytest.raises(ConnectError, match="cannot reach 127"):
                await transport.run("true", timeout_s=20)
        return times

    async def story() -> list[float]:
        async with serving(server):
            pass
        return await use(server.transport())  # nobody listens any more

    first, second, third = asyncio.run(story())
    assert second - first < 0.5
    assert third - second > 0.5


def test_a_host_key_that_nobody_accepted_is_refused(server: Server) -> None:
    with pytest.raises(AuthenticationError, match="is not known"):
        run(server, "true", known_hosts=os.devnull)


# -- files up


def test_the_same_content_for_many_targets_travels_once_and_is_stored_once(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(2_000_000))
    uploads = [Upload(target=f"{server.home}/job{n}/in", path=str(source)) for n in range(50)]
    put(server, *uploads, times=2)
    assert 2_000_000 <= server.file_bytes < 2_001_000, "once, and one line of shell text"
    placed = [server.home / f"job{n}" / "in" for n in range(50)]
    assert {each.read_bytes() for each in placed} == {source.read_bytes()}
    assert len({each.stat().st_ino for each in placed}) == 1


def test_many_small_contents_travel_together(server: Server) -> None:
    put(server, *(Upload(target=f"{server.home}/in/{n}", content=b"%d" % n) for n in range(200)))
    assert [(server.home / "in" / str(n)).read_text() for n in range(200)] == [str(n) for n in range(200)]


def test_what_was_put_cannot_be_written_to_by_accident_and_may_be_run_if_it_could(
    server: Server, tmp_path: Path
) -> None:
    program, text = tmp_path / "program", tmp_path / "text"
    for path in (program, text):
        path.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    put(server, Upload(target=f"{server.home}/p", path=str(program)), Upload(target=f"{server.home}/t", path=str(text)))
    assert [(server.home / name).stat().st_mode & 0o777 for name in "pt"] == [0o555, 0o444]


NAMES = ["a b", "new\nline", "-rf", "é日", "$(touch x)", "quo'te\"s", "back\\slash", "*", "a;b"]


def test_folders_go_with_their_links_and_any_name(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in NAMES:
        (folder / "deep" / name).write_text(name)
    (folder / "link").symlink_to("deep/a b")
    put(server, Upload(target=f"{server.home}/there/my folder", path=str(folder)))
    there = server.home / "there" / "my folder"
    assert sorted(path.name for path in (there / "deep").iterdir()) == sorted([*NAMES, "er"])
    assert [(there / "deep" / name).read_text() for name in NAMES] == NAMES
    assert (there / "empty").is_dir()
    assert str((there / "link").readlink()) == "deep/a b"


def test_an_interrupted_large_upload_goes_on_where_it_stopped(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wait_between_logins(monkeypatch, 0.1)
    source, target = tmp_path / "large", server.home / "in"
    source.write_bytes(os.urandom(8_000_000))

    def cut(server: Server) -> None:
        if server.file_bytes > 4_000_000:
            server.on_write = None
            server.connections[-1].abort()

    server.on_write = cut

    async def use(transport: FarTransport) -> None:
        uploads = [Upload(target=str(target), path=str(source))]
        with pytest.raises(ConnectError, match="it goes on where it stopped"):
            await transport.put(uploads, scratch=server.scratch)
        assert not target.exists()
        await transport.put(uploads, scratch=server.scratch)

    with_transport(server, use)
    assert target.read_bytes() == source.read_bytes()
    assert server.file_bytes < 13_000_000, "all of it was sent again"
    gc.collect()  # asyncio complains of errors that nobody heard once their tasks are collected
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_a_damaged_part_is_refused_by_its_hash_and_the_next_try_is_whole(server: Server, tmp_path: Path) -> None:
    source, target = tmp_path / "large", server.home / "in"
    source.write_bytes(os.urandom(2_000_000))
    store = Path(server.scratch) / "store"
    store.mkdir(parents=True)
    (store / f"{hashlib.sha256(source.read_bytes()).hexdigest()}.part").write_bytes(b"x" * 1_000_000)

    async def use(transport: FarTransport) -> None:
        uploads = [Upload(target=str(target), path=str(source))]
        with pytest.raises(TransportError, match="arrived damaged"):
            await transport.put(uploads, scratch=server.scratch)
        assert not target.exists()
        await transport.put(uploads, scratch=server.scratch)

    with_transport(server, use)
    assert target.read_bytes() == source.read_bytes()


def test_what_cannot_be_read_here_and_written_there_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"cannot read .*/nothing: No such file"):
        put(server, Upload(target=f"{server.home}/in", path=str(tmp_path / "nothing")))
    (server.home / "file").write_text("")
    with pytest.raises(TransportError, match="home/file"):
        put(server, Upload(target=f"{server.home}/file/in", content=b"x"))


def test_a_scratch_folder_of_any_name_will_do(server: Server, tmp_path: Path) -> None:
    scratch = f'{server.home}/it\'s a "new\nline" $(id) %'
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1_500_000))

    async def use(transport: FarTransport) -> None:
        there = f'{server.home}/it\'s a "new" $(id) % work'
        few = [Upload(target=f"{there}/large", path=str(large)), Upload(target=f"{there}/small", content=b"s")]
        await transport.put(few, scratch=scratch)
        await transport.get([Download(folder=there, pattern="*", to=str(tmp_path / "back"))], scratch=scratch)

    with_transport(server, use)
    assert (tmp_path / "back" / "large").read_bytes() == large.read_bytes()
    assert (tmp_path / "back" / "small").read_bytes() == b"s"


# -- files down


def test_outputs_come_by_name_glob_and_folder(server: Server, tmp_path: Path) -> None:
    work = server.home / "work"
    (work / "deep" / "er").mkdir(parents=True)
    for name in ["one.txt", "two.txt", "three.dat", "deep/four.txt", "deep/er/five.txt"]:
        (work / name).write_text(name)
    out = tmp_path / "out"
    patterns = ["one.txt", "*.txt", "**/*.txt", "deep", "nothing.*"]
    brought = get(server, *(Download(folder=str(work), pattern=each, to=str(out / str(n)))
                            for n, each in enumerate(patterns)))  # fmt: skip
    names = [sorted(str(Path(path).relative_to(out / str(n))) for path in each) for n, each in enumerate(brought)]
    assert names == [
        ["one.txt"],
        ["one.txt", "two.txt"],
        ["deep/er/five.txt", "deep/four.txt", "one.txt", "two.txt"],
        ["deep/er/five.txt", "deep/four.txt"],
        [],
    ]
    assert (out / "2" / "deep" / "er" / "five.txt").read_text() == "deep/er/five.txt"


def test_outputs_of_any_name_come_back(server: Server, tmp_path: Path) -> None:
    work = server.home / "my 'work"
    work.mkdir(parents=True)
    for name in NAMES:
        (work / name).write_text(name)
    out = tmp_path / "out"
    [brought] = get(server, Download(folder=str(work), pattern="*", to=str(out)))
    assert sorted(Path(path).name for path in brought) == sorted(NAMES)
    assert [(out / name).read_text() for name in NAMES] == NAMES


def test_large_outputs_come_whole_and_nothing_is_left_behind(server: Server, tmp_path: Path) -> None:
    work = server.home / "work"
    work.mkdir(parents=True)
    (work / "large").write_bytes(os.urandom(9_000_001))
    get(server, Download(folder=str(work), pattern="large", to=str(tmp_path / "out")))
    assert (tmp_path / "out" / "large").read_bytes() == (work / "large").read_bytes()
    assert list(Path(server.scratch).iterdir()) == []


def test_who_listens_hears_how_far_large_files_are_both_ways(server: Server, tmp_path: Path) -> None:
    heard: list[Transfer] = []
    large, size = tmp_path / "large", 6_000_000
    large.write_bytes(os.urandom(size))
    there = f"{server.home}/in"

    async def use(transport: FarTransport) -> None:
        few = [Upload(target=f"{there}/small", content=b"x" * 9000), Upload(target=f"{there}/large", path=str(large))]
        await transport.put(few, scratch=server.scratch)
        await transport.put([Upload(target=f"{there}/again", path=str(large))], scratch=server.scratch)
        await transport.put([Upload(target=f"{there}/tiny", content=b"tiny")], scratch=server.scratch)
        wanted = Download(folder=there, pattern="large", to=str(tmp_path / "back"))
        await transport.get([wanted], scratch=server.scratch)

    with_transport(server, use, on_transfer=heard.append)
    up, down = ([each for each in heard if each.what == what] for what in ("sending", "bringing"))
    assert len(up) + len(down) == len(heard)
    assert {each.size for each in up} == {size + 9000}, "what is there, or is small, is not worth a word"
    assert up[-1].done == size + 9000
    assert {each.size for each in down} == {down[0].size}
    assert size < down[0].size < size + 20_000, "an archive"
    assert down[-1].done == down[0].size
    for each in (up, down):
        assert [one.done for one in each] == sorted(one.done for one in each)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped-by-tar", "link/escaped"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    hostile = io.BytesIO()
    with tarfile.open(fileobj=hostile, mode="w") as archive:
        if name.startswith("link/"):
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            archive.addfile(link)
        entry = tarfile.TarInfo(name)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"bad"))
    (server.folder / "hostile.tar").write_bytes(hostile.getvalue())
    stand_in = server.folder / "bin" / "tar"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nfor last; do :; done\ncat {server.folder}/hostile.tar >"$last"\n')
    stand_in.chmod(0o755)
    (server.home / "work").mkdir(parents=True)
    (server.home / "work" / "wanted").write_text("good")
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{stand_in.parent}:{before}"
    try:
        with suppress(TransportError):  # an absolute name is made relative, which is as good as refused
            get(server, Download(folder=str(server.home / "work"), pattern="**/*", to=str(tmp_path / "out")))
    finally:
        os.environ["PATH"] = before
    assert not (tmp_path / "escaped").exists()
    assert not Path("/tmp/escaped-by-tar").exists()
    assert not (tmp_path / "out" / "link" / "escaped").exists()


def test_a_link_out_of_the_work_folder_brings_nothing(server: Server, tmp_path: Path) -> None:
    work = server.home / "work"
    work.mkdir(parents=True)
    (server.home / "secret").write_text("secret")
    (work / "out.txt").symlink_to("../secret")
    with pytest.raises(TransportError):
        get(server, Download(folder=str(work), pattern="out.txt", to=str(tmp_path / "out")))
    assert not (tmp_path / "out" / "out.txt").exists()
