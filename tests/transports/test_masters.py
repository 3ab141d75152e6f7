"""One login for all processes of a user: the masters of ``client: openssh``, against a server that counts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.errors import AuthenticationError, ConfigError, ConnectError, OutcomeUnknown
from adapter.transports import far, masters, transport_for
from adapter.transports.openssh import OpenSshTransport
from tests.transports.test_ssh import Server, prompter, server, serving, wait_between_logins

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["server"]

pytestmark = pytest.mark.parametrize("server", ["openssh"], indirect=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_between_logins(monkeypatch, 0.1)


def story(server: Server, told: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with serving(server), asyncio.timeout(60):
            return await told()

    return asyncio.run(whole())


async def one(server: Server, command: str = "echo in", **rest: Any) -> str:
    """Do as one process would: open, run, close."""
    async with server.transport(**rest) as transport:
        return (await transport.run(command, timeout_s=20)).stdout


async def the_master(server: Server) -> int:
    [master] = await masters.masters(server.links)
    return master.pid


# -- who logs in


def test_ten_at_once_log_in_once_and_one_that_comes_later_does_not(server: Server) -> None:
    async def told() -> list[str]:
        together = await asyncio.gather(*(one(server) for _ in range(10)))
        return [*together, await one(server)]

    assert story(server, told) == ["in\n"] * 11
    assert server.logins == 1


def test_of_five_at_once_one_asks_its_person_and_no_other(server: Server) -> None:
    server.password = "right"
    people = [prompter("right") for _ in range(5)]

    async def told() -> list[str]:
        return await asyncio.gather(*(one(server, prompt=prompt, client_keys=None) for prompt, _ in people))

    assert story(server, told) == ["in\n"] * 5
    assert sum(len(asked) for _, asked in people) == 1
    assert server.logins == 1


def test_the_event_loop_is_where_a_person_is_asked(server: Server) -> None:
    server.password = "right"
    threads = []

    def prompt(text: str, seen: bool) -> str:
        threads.append(threading.current_thread())
        return "right"

    story(server, lambda: one(server, prompt=prompt, client_keys=None))
    assert threads == [threading.main_thread()]


def test_where_nobody_can_be_asked_one_refusal_is_for_all_who_come_at_that_time(server: Server) -> None:
    server.password = "right"

    async def told() -> list[str | BaseException]:
        nobody = await asyncio.gather(*(one(server, client_keys=None) for _ in range(4)), return_exceptions=True)
        nobody.append((await asyncio.gather(one(server, client_keys=None), return_exceptions=True))[0])
        return nobody

    for error in story(server, told):
        assert isinstance(error, AuthenticationError)
        assert "Nobody could be asked here" in str(error)
    assert server.logins == 1


def test_after_a_refusal_a_person_may_try_at_once_and_opens_it_for_the_others(server: Server) -> None:
    server.password = "right"
    prompt, asked = prompter("right")

    async def told() -> list[str]:
        with pytest.raises(AuthenticationError):
            await one(server, client_keys=None)
        return [await one(server, prompt=prompt, client_keys=None), await one(server, client_keys=None)]

    assert story(server, told) == ["in\n", "in\n"]
    assert (len(asked), server.logins) == (1, 2)


def test_a_person_who_gives_up_is_not_asked_again(server: Server) -> None:
    server.password = "right"
    prompt, asked = prompter(None, None, None)
    with pytest.raises(AuthenticationError, match=r"does not let us in: .*password.* was not answered"):
        story(server, lambda: one(server, prompt=prompt, client_keys=None))
    assert (len(asked), server.asked) == (1, 0), "no guess is made"


def test_an_answer_is_on_no_command_line_and_in_no_file(server: Server) -> None:
    server.password = "s3cret 'word' \\n"
    shown: list[str] = []

    def prompt(text: str, seen: bool) -> str:
        shown.append(subprocess.run(["ps", "axww", "-o", "args"], check=True, capture_output=True, text=True).stdout)
        return server.password or ""

    async def told() -> None:
        await one(server, prompt=prompt, client_keys=None)
        shown.append(subprocess.run(["ps", "axww", "-o", "args"], check=True, capture_output=True, text=True).stdout)

    story(server, told)
    shown += [path.read_text(errors="replace") for path in server.links.rglob("*") if path.is_file()]
    assert not any("s3cret" in text for text in shown)


# -- what becomes of a master


def test_a_server_that_restarted_costs_a_login_and_no_error(server: Server) -> None:
    async def told() -> list[str]:
        first = await one(server)
        server.connections[0].abort()
        return [first, await one(server)]

    assert story(server, told) == ["in\n", "in\n"]
    assert server.logins == 2


def test_a_master_that_is_killed_leaves_the_outcome_unknown_and_the_next_logs_in_again(server: Server) -> None:
    async def told() -> str:
        async with server.transport() as transport:
            work = asyncio.create_task(transport.run("echo partial; exec sleep 50", timeout_s=30))
            while not list(server.links.glob("*.sock")):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            os.kill(await the_master(server), signal.SIGKILL)
            with pytest.raises(OutcomeUnknown, match="was lost") as lost:
                await work
            assert lost.value.partial
            assert lost.value.partial.stdout == "partial\n"
            assert list(server.links.glob("*.sock")), "its socket was left behind"
            return (await transport.run("echo again", timeout_s=20)).stdout

    assert story(server, told) == "again\n"
    assert server.logins == 2


def test_a_master_that_hangs_is_replaced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masters, "ASKED_WITHIN_S", 0.5)

    async def told() -> str:
        await one(server)
        pid = await the_master(server)
        os.kill(pid, signal.SIGSTOP)
        try:
            return await one(server)
        finally:
            os.kill(pid, signal.SIGKILL)

    assert story(server, told) == "in\n"
    assert server.logins == 2


def test_a_command_that_is_cancelled_ends_and_the_master_stays(server: Server) -> None:
    async def told() -> str:
        async with server.transport() as transport:
            await transport.run("true", timeout_s=20)
            work = asyncio.create_task(transport.run("exec sleep 50", timeout_s=30))
            await asyncio.sleep(0.5)
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            return (await transport.run("echo in", timeout_s=20)).stdout

    assert story(server, told) == "in\n"
    assert server.logins == 1


def test_no_channel_is_no_refused_login_even_where_the_key_is_gone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far, "CHANNEL_WAITS_S", (0.05,))

    async def told() -> None:
        async with server.transport() as transport:
            await transport.run("true", timeout_s=20)
            (server.folder / "user_key").unlink()
            server.refuses_channels = True
            with pytest.raises(ConnectError, match="refuses another channel"):
                await transport.run("true", timeout_s=20)
            server.refuses_channels = False
            assert (await transport.run("echo in", timeout_s=20)).stdout == "in\n"

    story(server, told)
    assert server.logins == 1


# -- the user's own master


async def own_master(server: Server, config: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "ssh", "-F", config, "-M", "-N", "-f", "-o", "ControlPersist=20", "-o", "LogLevel=ERROR", "127.0.0.1",
        stdin=-3,
    )  # fmt: skip
    assert await process.wait() == 0


def own_config(server: Server) -> Path:
    server.transport()  # writes the key and the known hosts
    config = server.folder / "own_config"
    config.write_text(
        f"ControlPath {server.links}/own-%p\nIdentityFile {server.folder}/user_key\nIdentitiesOnly yes\nUser somebody\n"
        f"Port {server.port}\nUserKnownHostsFile {server.folder}/known_hosts\nRequestTTY force\n"
    )
    return config


def test_the_master_that_the_user_has_is_used_and_needs_no_key_any_more(server: Server) -> None:
    async def told() -> str:
        config = own_config(server)
        await own_master(server, config)
        (server.folder / "user_key").unlink()
        connection = {"kind": "ssh", "client": "openssh", "host": "127.0.0.1", "config": str(config)}
        async with transport_for(connection, folder=server.links) as transport:
            said = (await transport.run("echo in", timeout_s=20)).stdout
            subprocess.run(["ssh", "-F", config, "-O", "exit", "127.0.0.1"], check=True, capture_output=True)
            with pytest.raises(AuthenticationError, match=r"no such identity.*Permission denied"):
                await transport.run("true", timeout_s=20)
            return said

    assert story(server, told) == "in\n"
    assert server.logins == 2


def test_a_control_path_without_a_master_is_left_alone(server: Server) -> None:
    async def told() -> str:
        connection = {"kind": "ssh", "client": "openssh", "host": "127.0.0.1", "config": str(own_config(server))}
        async with transport_for(connection, folder=server.links) as transport:
            return (await transport.run("echo in", timeout_s=20)).stdout

    assert story(server, told) == "in\n"
    assert not list(server.links.glob("own-*"))


# -- where they are


def test_masters_are_listed_and_closed(server: Server) -> None:
    async def told() -> None:
        await one(server)
        [open_now] = await masters.masters(server.links)
        assert (open_now.host, open_now.pid > 1) == ("127.0.0.1", True)
        assert len(await masters.masters(server.links, close=True)) == 1
        assert await masters.masters(server.links) == []

    story(server, told)


def test_only_their_user_can_enter_the_folder(server: Server) -> None:
    server.links.chmod(0o777)
    story(server, lambda: one(server))
    assert server.links.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_folder_of_another_user_is_not_used(server: Server) -> None:
    os.chown(server.links, 65534, 65534)
    with pytest.raises(AuthenticationError, match="is not a folder of ours"):
        story(server, lambda: one(server))
    os.chown(server.links, 0, 0)
    assert server.logins == 0


@pytest.mark.parametrize("name", ["x" * 90, "two words", "100%"])
def test_a_folder_that_is_no_place_for_a_socket_has_a_short_one_in_its_stead(server: Server, name: str) -> None:
    place = masters.place_of(["ssh"], server.links / name)
    assert len(os.fsencode(place.socket)) < 80
    assert place.folder != server.links / name
    assert masters.place_of(["ssh"], server.links / name) == place
    place.folder.rmdir()


def test_different_connections_have_different_masters(server: Server) -> None:
    names = {masters.place_of(identity, server.links).name for identity in (["a", "b"], ["ab"], ["a"], ["a", "b"])}
    assert len(names) == 3


# -- mistakes here


def test_without_ssh_it_is_said_so_and_not_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> None:
        async with server.transport() as transport:
            monkeypatch.setenv("PATH", str(server.folder))
            for _ in range(2):
                with pytest.raises(AuthenticationError, match="there is no program `ssh` on this machine"):
                    await transport.run("true", timeout_s=20)

    story(server, told)


def test_a_host_is_never_an_option(server: Server) -> None:
    with pytest.raises(ConfigError, match="begins with a hyphen"):
        OpenSshTransport({"kind": "ssh", "host": "-oProxyCommand=id"}, folder=server.links)


def test_a_client_that_there_is_not_is_named(server: Server) -> None:
    with pytest.raises(ConfigError, match="'putty' is unknown; it is asyncssh or openssh"):
        transport_for({"kind": "ssh", "host": "h", "client": "putty"}, folder=server.links)
