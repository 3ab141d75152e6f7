"""Faults of a far site, through real OpenSSH servers to a real Slurm: each job is executed exactly once, whatever dies.

The witnesses are the scheduler's: its queue and database, and a ledger in which every execution writes a line.
What would disturb others on this machine (start-up files, keys, limits) is done to an sshd of the test's own.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapter.core.state import Reason, State
from adapter.core.task import Input, Output, Resources, Step, Task
from adapter.errors import AuthenticationError, ConnectError, TransportError
from adapter.execution.executor import Executor
from adapter.store.sqlite import SqliteStore
from adapter.transports.far import FarTransport
from adapter.transports.openssh import OpenSshTransport
from adapter.transports.ssh import SshTransport
from tests.live.clients import CLIENTS, options_of
from tests.live.ssh_site import TCSH_USER, USER, SshSite, as_user, jobs_by_comment, ssh_site
from tests.live.ways import Way
from tests.live.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adapter.core.backend import Backend
    from adapter.core.event import Event
    from adapter.core.job import Job
    from adapter.results import CompletedCommand

JOBS = 20
SMALL = Resources(cpu=1, ram_bytes=20 * 1024**2)


CLIENT = "asyncssh"


@pytest.fixture(scope="module", params=CLIENTS, autouse=True)
def client(request: pytest.FixtureRequest) -> str:
    """The client of the transports of a test."""
    global CLIENT  # noqa: PLW0603 (every test makes transports, and all go through one function)
    CLIENT = request.param
    return CLIENT


@pytest.fixture(scope="module")
def site() -> SshSite:
    return ssh_site()


# -- a place on the far side, and what runs there


@dataclass(slots=True)
class Place:
    """A folder of a far user, with a workspace and a ledger in it, and a folder here."""

    here: Path
    far: Path
    user: str = USER
    events: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> dict[int, str]:
        return {int(path.name): path.read_text() for path in (self.far / "ledger").iterdir()}

    def backend(self, **changes: object) -> Backend:
        way = Way("acct", "target")
        return way.backend(self.here, **{"workspace": str(self.far / "workspace"), **changes})

    def task(self, number: int, shell: str = "", *, pad: int = 0, inputs: Sequence[Input] = ()) -> Task:
        """Return a task that writes in the ledger, and whose output is its input and *pad* bytes more."""
        return Task(
            name=f"job {number}",
            steps=(
                Step(
                    shell=f"echo ran >>{self.far}/ledger/{number}; {shell or ':'}; "
                    f"{{ cat in.txt; head -c {pad} /dev/zero | tr '\\0' x; }} >result-{number}.txt"
                ),
            ),
            inputs=(Input(to="in.txt", content=f"input of {number}\n"), *inputs),
            outputs=(Output(path=f"result-{number}.txt", to=str(self.here / "out")),),
            resources=SMALL,
        )

    def executor(self, transport: FarTransport, **changes: object) -> Executor:
        return Executor(
            self.backend(**changes), transport=transport, store=SqliteStore.open(self.here / "journal.sqlite"),
            on_event=self.heard,
        )  # fmt: skip

    def heard(self, event: Event) -> None:
        self.events.append(f"{event.kind}: {event.text}")

    async def run(self, transport: FarTransport, tasks: Sequence[Task], **changes: object) -> list[Job]:
        async with self.executor(transport, **changes) as executor:
            return await asyncio.wait_for(executor.wait(await executor.submit(tasks)), 60)

    def assert_once(self, jobs: Sequence[Job], *, pad: int = 0, count: int = JOBS) -> None:
        """Every one of the first *count* jobs ran once, ended well, is one job there, and its output is here."""
        jobs = jobs[:count]
        assert [(job.index, job.state, job.message, job.collect_problem) for job in jobs] == [
            (number, State.SUCCEEDED, "", "") for number in range(1, count + 1)
        ], self.events
        assert {number: self.ledger.get(number) for number in range(1, count + 1)} == dict.fromkeys(
            range(1, count + 1), "ran\n"
        )
        self.assert_known_once(jobs)
        for number in range(1, count + 1):
            text = (self.here / "out" / f"result-{number}.txt").read_text()
            assert text == f"input of {number}\n" + "x" * pad

    def assert_known_once(self, jobs: Sequence[Job]) -> None:
        known = jobs_by_comment()
        assert {job.token: known.get(job.token, []) for job in jobs} == {job.token: [job.job_id] for job in jobs}


@pytest.fixture
def place(tmp_path: Path, site: SshSite) -> Iterator[Place]:
    yield from _place(tmp_path)


def _place(here: Path, user: str = USER) -> Iterator[Place]:
    far = _far_folder(user)
    _make(far / "ledger", user)
    yield Place(here, far, user)
    shutil.rmtree(far)


def _far_folder(user: str) -> Path:
    return Path(pwd.getpwnam(user).pw_dir) / ".adapter-live-tests" / f"faults-{uuid.uuid4().hex[:8]}"


def _make(folder: Path, user: str) -> None:
    for each in [*reversed(folder.parents), folder]:
        if not each.exists():
            each.mkdir(mode=0o700)
            shutil.chown(each, user, user)


def _write(path: Path, content: str | bytes, user: str = USER, mode: int = 0o644) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    shutil.chown(path, user, user)


# -- transports


class Watched(FarTransport):
    """Says which moment it is before anything is sent, and keeps what went wrong at which."""

    def __init__(self, connection: dict[str, Any], at: Callable[[str, str], None], **options: Any):
        super().__init__(connection, **options)
        self._at = at
        self.raised: list[tuple[str, type[TransportError]]] = []

    async def run(self, command: str, *, stdin: str = "", timeout_s: float) -> CompletedCommand:
        moment = next((name for mark, name in MARKS.items() if mark in stdin), "")
        return await self._do(moment, stdin, super().run(command, stdin=stdin, timeout_s=timeout_s))

    async def put(self, uploads: Any, *, scratch: str = "") -> None:
        await self._do("put", "", super().put(uploads, scratch=scratch))

    async def get(self, downloads: Any, *, scratch: str = "") -> list[list[str]]:
        return await self._do("get", "", super().get(downloads, scratch=scratch))

    async def _do(self, moment: str, stdin: str, work: Any) -> Any:
        self._at(moment, stdin)
        try:
            return await work
        except TransportError as error:
            self.raised.append((moment, type(error)))
            raise


class WatchedAsyncSsh(Watched, SshTransport):
    pass


class WatchedOpenSsh(Watched, OpenSshTransport):
    pass


def watched(connection: dict[str, Any], at: Callable[[str, str], None] = lambda *_: None, **options: Any) -> Watched:
    """Return a transport of the client of this test, with *options* as asyncssh calls them."""
    kind = WatchedAsyncSsh if CLIENT == "asyncssh" else WatchedOpenSsh
    return kind(connection, at, **options_of(CLIENT, options))


MARKS = {"# prepare": "prepare", "# submit /": "submit", "# probe": "monitor", "scancel": "kill"}


def through(
    site: SshSite, wire: Wire, at: Callable[[str, str], None] = lambda *_: None, *, host: str = "target", **options: Any
) -> Watched:
    # The wire is cut after so and so many bytes: what travels must be as long as it is written.
    connection = {"kind": "ssh", "host": host, "config": str(site.config), "compression": False}
    return watched(connection, at, port=wire.port, host_key_alias="target", **options)


# -- 1. the connection is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """When the connection is cut: at the first *moment*, by *how* (the wire, and the script that is to go up)."""

    moment: str
    how: Callable[[Wire, str], None]
    raised: type[TransportError] | None
    pad: int = 0
    large_input: int = 0
    extra: bool = False


CUTS = {
    "during login": Cut(
        moment="start", how=lambda wire, _: wire.cut_after(bytes_down=900), raised=ConnectError,
    ),
    "during prepare": Cut(
        moment="prepare", how=lambda wire, script: wire.cut_after(bytes_up=len(script) // 2), raised=None,
    ),
    "during the put of a large input": Cut(
        moment="put", how=lambda wire, _: wire.cut_after(bytes_up=2_500_000), raised=ConnectError,
        large_input=5_000_000,
    ),
    "before the first byte of the submit batch": Cut(
        moment="submit", how=lambda wire, _: wire.cut(), raised=ConnectError,
    ),
    "in the middle of the script going up": Cut(
        moment="submit", how=lambda wire, script: wire.cut_after(bytes_up=len(script) // 2), raised=None,
    ),
    "after the script went up, before the answer": Cut(
        moment="submit", how=lambda wire, script: wire.cut_after(bytes_up=len(script) + 200), raised=None,
    ),
    "in the middle of the answers": Cut(
        moment="submit", how=lambda wire, _: wire.cut_after(bytes_down=4_000), raised=None,
    ),
    "during the monitor": Cut(
        moment="monitor", how=lambda wire, _: wire.cut_after(bytes_down=300), raised=None,
    ),
    "during the kill of another job": Cut(
        moment="kill", how=lambda wire, _: wire.cut_after(bytes_down=250), raised=None, extra=True,
    ),
    "during the get of the outputs": Cut(
        moment="get", how=lambda wire, _: wire.cut_after(bytes_down=700_000), raised=ConnectError, pad=1_000_000,
    ),
}  # fmt: skip


@dataclass(slots=True)
class Story:
    place: Place
    jobs: list[Job]
    cuts: int
    logins: int
    raised: list[tuple[str, type[TransportError]]]


async def _cut_story(site: SshSite, place: Place, cut: Cut) -> Story:
    async with Wire(site.target_port) as wire:
        armed = False

        def at(moment: str, script: str) -> None:
            nonlocal armed
            if moment == cut.moment and not armed:
                armed = True
                cut.how(wire, script)

        at("start", "")
        transport = through(site, wire, at)
        if cut.moment == "prepare":
            await transport.run("true", timeout_s=20)  # so that it is not the login that is cut
        large = place.here / "large"
        large.write_bytes(os.urandom(cut.large_input))
        inputs = [Input(to="large", path=str(large))] if cut.large_input else []
        tasks = [place.task(number, pad=cut.pad, inputs=inputs) for number in range(1, JOBS + 1)]
        if cut.extra:
            tasks.append(place.task(JOBS + 1, "sleep 600"))
        async with place.executor(transport) as executor:
            run = await executor.submit(tasks)
            killed = False
            async with asyncio.timeout(150):
                async for jobs in executor.watch(run):
                    if cut.extra and not killed and jobs[-1].state is State.RUNNING:
                        killed = True
                        await executor.kill(run, JOBS + 1)
            return Story(place, executor.jobs_of(run), wire.cuts, transport.logins, transport.raised)


@pytest.fixture(scope="module")
def cuts(
    site: SshSite, client: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Story | BaseException]]:
    """The stories of all cuts, at the same time, each on a wire of its own: they mostly wait."""
    places = {name: _place(tmp_path_factory.mktemp("cut")) for name in CUTS}

    async def together() -> list[Story | BaseException]:
        stories = (_cut_story(site, next(places[name]), cut) for name, cut in CUTS.items())
        return await asyncio.gather(*stories, return_exceptions=True)

    yield dict(zip(CUTS, asyncio.run(together()), strict=True))
    for each in places.values():
        next(each, None)


@pytest.mark.parametrize("name", list(CUTS))
def test_a_connection_cut_at_any_moment_neither_loses_nor_doubles_a_job(
    cuts: dict[str, Story | BaseException], name: str
) -> None:
    story, cut = cuts[name], CUTS[name]
    if isinstance(story, BaseException):
        raise story
    assert (story.cuts, story.logins) == (1, 2)
    if cut.raised and (story.raised or CLIENT == "asyncssh"):  # openssh may notice before, and log in again
        assert story.raised[-1][1] is cut.raised
    story.place.assert_once(story.jobs, pad=cut.pad)
    if cut.extra:
        extra = story.jobs[-1]
        assert (extra.state, extra.reason) == (State.KILLED, Reason.KILLED_BY_USER)
        assert story.place.ledger[JOBS + 1] == "ran\n"
        story.place.assert_known_once([extra])


# -- 2. sshd is restarted


def test_a_restart_of_sshd_and_the_end_of_all_sessions_lose_and_double_nothing(site: SshSite, place: Place) -> None:
    async def story() -> tuple[list[Job], int]:
        transport = watched({"kind": "ssh", "host": "target", "config": str(site.config)})
        async with place.executor(transport) as executor:
            run = await executor.submit([place.task(number, "sleep 3") for number in range(1, JOBS + 1)])
            restarted = killed = False
            async with asyncio.timeout(150):
                async for jobs in executor.watch(run):
                    handed_over = any(job.job_id for job in jobs)
                    if handed_over and not restarted:
                        restarted = True
                        await asyncio.to_thread(site.restart_target)
                    elif restarted and not killed and any(job.state.is_final for job in jobs):
                        killed = True
                        await asyncio.to_thread(site.kill_sessions)
            assert killed
            return executor.jobs_of(run), transport.logins

    jobs, logins = asyncio.run(story())
    # openssh logs in again at once, and may meet the sshd while it restarts
    assert logins in ({2, 3} if CLIENT == "asyncssh" else {2, 3, 4})
    place.assert_once(jobs)


# -- 3. a server that accepts and never answers


def test_a_server_that_accepts_and_never_answers_is_given_up_within_the_configured_time(site: SshSite) -> None:
    async def story() -> float:
        async with Wire(site.target_port) as wire:
            wire.black_hole = True
            began = time.monotonic()
            with pytest.raises(ConnectError, match="cannot reach target: it does not answer"):
                await through(site, wire, connect_timeout=3).run("true", timeout_s=60)
            return time.monotonic() - began

    assert 2.5 < asyncio.run(story()) < 5


def test_connect_timeout_of_the_ssh_configuration_is_honoured(site: SshSite, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("ConnectTimeout 2\n" + site.config.read_text())

    async def story() -> float:
        async with Wire(site.target_port) as wire:
            wire.black_hole = True
            began = time.monotonic()
            connection = {"kind": "ssh", "host": "target", "config": str(config)}
            with pytest.raises(ConnectError):
                await watched(connection, port=wire.port, host_key_alias="target").run("true", timeout_s=60)
            return time.monotonic() - began

    assert asyncio.run(story()) < 4


def test_a_run_goes_on_once_the_server_answers_again(site: SshSite, place: Place) -> None:
    async def story() -> tuple[list[Job], int]:
        async with Wire(site.target_port) as wire:
            wire.black_hole = True
            transport = through(site, wire, connect_timeout=2)
            async with place.executor(transport) as executor:
                run = await executor.submit([place.task(number) for number in range(1, JOBS + 1)])
                await _until(lambda: any("does not answer" in event for event in place.events))
                wire.cut()
                wire.black_hole = False
                return await asyncio.wait_for(executor.wait(run), 100), transport.logins

    jobs, logins = asyncio.run(story())
    assert logins == 2
    place.assert_once(jobs)


@pytest.mark.parametrize("moment", ["submit", "monitor"])
def test_a_peer_that_falls_silent_is_noticed_and_the_run_finishes(site: SshSite, place: Place, moment: str) -> None:
    async def story() -> tuple[list[Job], int]:
        async with Wire(site.target_port) as wire:
            silent_since: list[float] = []

            def at(now: str, _: str) -> None:
                if now == moment and not silent_since:
                    silent_since.append(time.monotonic())
                    wire.black_hole = True

            transport = through(site, wire, at, keepalive_interval=1, keepalive_count_max=2, connect_timeout=5)
            async with place.executor(transport) as executor:
                run = await executor.submit([place.task(number) for number in range(1, JOBS + 1)])
                await _until(lambda: bool(transport.raised))
                assert time.monotonic() - silent_since[0] < 6
                wire.cut()
                wire.black_hole = False
                return await asyncio.wait_for(executor.wait(run), 100), transport.logins

    jobs, logins = asyncio.run(story())
    assert logins in {2, 3}
    place.assert_once(jobs)


async def _until(holds: Callable[[], bool], within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.05)


# -- an sshd of the test's own


@dataclass(slots=True)
class OwnServer:
    """A further sshd: its port, the far user's home there, and the file that lets keys in."""

    port: int
    home: Path
    keys: Path

    def transport(self, site: SshSite, *, host: str = "target", **connection: object) -> Watched:
        options = {"kind": "ssh", "host": host, "config": str(site.config), **connection}
        return watched(options, port=self.port, host_key_alias="target")


def _own_server(site: SshSite, user: str = USER, **settings: object) -> Iterator[OwnServer]:
    folder = _far_folder(user)
    _make(folder / "home", user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = folder / "authorized_keys"
    _write(keys, site.key.with_suffix(".pub").read_text(), user)
    changes = {
        "Port": port, "PidFile": folder / "pid", "AuthorizedKeysFile": keys, "StrictModes": "no",
        "SetEnv": f"SLURM_CONF={site.slurm_conf} HOME={folder / 'home'}", **settings,
    }  # fmt: skip
    lines = (site.folder / "target" / "sshd_config").read_text().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in changes]
    own = [f"{name} {value}" for name, value in changes.items()]  # first: what comes after `Match` is for one user
    config = folder / "sshd_config"
    config.write_text("\n".join([*own, *kept, ""]))
    server = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-f", config, "-E", folder / "log"],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield OwnServer(port, folder / "home", keys)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


@pytest.fixture
def own_server(site: SshSite) -> Iterator[OwnServer]:
    yield from _own_server(site)


# -- 4. one session at a time


def test_with_max_sessions_1_everything_works_while_logs_are_read(site: SshSite, place: Place) -> None:
    servers = _own_server(site, MaxSessions=1)
    server = next(servers)
    read: list[str] = []

    async def story() -> list[Job]:
        transport = server.transport(site)
        async with place.executor(transport) as executor:
            large = place.here / "large"
            large.write_bytes(os.urandom(3_000_000))
            run = await executor.submit([
                place.task(number, f"echo said {number}; sleep 1", pad=200_000,
                           inputs=[Input(to="large", path=str(large))])
                for number in range(1, 11)
            ])  # fmt: skip

            async def keep_reading(number: int) -> None:
                while True:
                    job = executor.jobs_of(run)[number]
                    try:
                        read.append((await executor.read_log(job, "stdout"))[0] if job.directory else "")
                    except TransportError as error:
                        if "not there yet" not in str(error):
                            raise
                    await asyncio.sleep(0.05)

            readers = [asyncio.create_task(keep_reading(number)) for number in range(4)]
            jobs = await asyncio.wait_for(executor.wait(run), 100)
            for reader in readers:
                reader.cancel()
            ends = await asyncio.gather(*readers, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
            assert transport.logins == 1
            assert transport.raised == []
            return jobs

    try:
        place.assert_once(asyncio.run(story()), pad=200_000, count=10)
    finally:
        next(servers, None)
    assert "said 1\n" in read


# -- 5. the key is refused after a reconnect


def test_a_key_refused_after_a_reconnect_stops_at_once_and_the_jobs_stay(
    site: SshSite, place: Place, own_server: OwnServer
) -> None:
    aside = own_server.keys.with_name("aside")

    async def begin() -> tuple[str, list[Job], str]:
        async with Wire(own_server.port) as wire:
            transport = through(site, wire)
            async with place.executor(transport) as executor:
                run = await executor.submit([place.task(number, "sleep 4") for number in range(1, JOBS + 1)])
                await asyncio.wait_for(executor.handed_over(run), 60)
                assert wire.connections == 1
                own_server.keys.rename(aside)
                wire.cut()
                with pytest.raises(AuthenticationError) as refused:
                    await asyncio.wait_for(executor.wait(run), 60)
                with pytest.raises(AuthenticationError):
                    await transport.run("true", timeout_s=10)
                await asyncio.sleep(3)
                assert (wire.connections, transport.logins) == (2, 2)
                return run, executor.jobs_of(run), str(refused.value)

    async def finish(run: str) -> list[Job]:
        async with place.executor(own_server.transport(site)) as executor:
            assert await executor.adopt(run)
            return await asyncio.wait_for(executor.wait(run), 100)

    run, jobs, message = asyncio.run(begin())
    assert "target does not let us in" in message
    assert "Try `ssh target`; no further attempt is made, so that the site does not ban you" in message
    assert [job.state.is_final for job in jobs] == [False] * JOBS
    aside.rename(own_server.keys)
    place.assert_once(asyncio.run(finish(run)))


# -- 6. the server's key


@pytest.mark.parametrize(
    ("host", "words"),
    [
        pytest.param("unknownkey", ["key of unknownkey is not known", "once with `ssh unknownkey`"], id="unknown"),
        pytest.param("changedkey", ["key of changedkey has CHANGED", "Ask the site", "ssh-keygen -R"], id="changed"),
    ],
)
def test_a_host_key_that_is_not_the_accepted_one_is_refused(
    site: SshSite, place: Place, host: str, words: list[str]
) -> None:
    transport = watched({"kind": "ssh", "host": host, "config": str(site.config)})
    with pytest.raises(AuthenticationError) as refused:
        asyncio.run(place.run(transport, [place.task(1)]))
    assert [word for word in words if word not in str(refused.value)] == []
    assert transport.logins == 1
    assert list((place.far / "ledger").iterdir()) == []


# -- 7. start-up files that talk

NOISE = b"""\
echo "Welcome! Quota: 100% of `id -un`"
printf 'caf\\351 \\377\\r\\n'
echo 'warning: module not found' >&2
printf '\\351\\r\\n' >&2
"""


def test_a_noisy_bashrc_does_no_harm_to_commands(site: SshSite, place: Place, own_server: OwnServer) -> None:
    _write(own_server.home / ".bashrc", NOISE)
    transport = own_server.transport(site)

    async def noise() -> CompletedCommand:
        return await transport.run("echo one; echo two >&2; exit 3", timeout_s=20)

    said = asyncio.run(noise())
    assert (said.exit_code, "Welcome" in said.stdout, "warning" in said.stderr) == (3, True, True)
    tasks = [place.task(number) for number in range(1, 11)]
    quiet = [Task(name=task.name, steps=(Step(shell=f"echo in >in.txt; {task.steps[0].shell}"),), resources=SMALL)
             for task in tasks]  # fmt: skip
    jobs = asyncio.run(place.run(own_server.transport(site), quiet))
    assert [(job.state, job.message) for job in jobs] == [(State.SUCCEEDED, "")] * 10
    assert place.ledger == dict.fromkeys(range(1, 11), "ran\n")
    place.assert_known_once(jobs)


def test_files_travel_past_a_noisy_bashrc(site: SshSite, place: Place, own_server: OwnServer) -> None:
    _write(own_server.home / ".bashrc", NOISE)
    transport = own_server.transport(site)
    jobs = asyncio.run(place.run(transport, [place.task(1), place.task(2)]))
    assert [(job.state, job.message) for job in jobs] == [(State.SUCCEEDED, "")] * 2
    assert place.ledger == {1: "ran\n", 2: "ran\n"}
    place.assert_known_once(jobs)
    assert transport.logins == 1


@pytest.mark.parametrize("noisy", [".bash_profile", ".profile"])
def test_with_login_shell_the_profile_is_read_and_its_noise_does_no_harm(
    site: SshSite, place: Place, own_server: OwnServer, noisy: str
) -> None:
    _write(own_server.home / noisy, NOISE + b"export FROM_PROFILE=loaded\n")
    tasks = [place.task(number, f"echo $FROM_PROFILE >{place.far}/shown") for number in range(1, 11)]
    transport = own_server.transport(site, login_shell=True)
    jobs = asyncio.run(place.run(transport, tasks))
    place.assert_once(jobs, count=10)
    assert (place.far / "shown").read_text() == "loaded\n", "the jobs did not get what the profile sets"


# -- 8. tcsh


def test_a_noisy_tcsh_as_login_shell_does_no_harm(site: SshSite, tmp_path: Path) -> None:
    places, servers = _place(tmp_path, TCSH_USER), _own_server(site, TCSH_USER)
    place, server = next(places), next(servers)
    _write(server.home / ".tcshrc", b'echo "Welcome, 100%"\nprintf "caf\\351\\r\\n"\n', TCSH_USER)
    try:
        transport = server.transport(site, host="target-tcsh")
        quiet = [
            Task(name=f"job {number}", resources=SMALL,
                 steps=(Step(shell=f"echo ran >>{place.far}/ledger/{number}"),))
            for number in range(1, 11)
        ]  # fmt: skip
        jobs = asyncio.run(place.run(transport, quiet))
        assert [(job.state, job.message) for job in jobs] == [(State.SUCCEEDED, "")] * 10
        assert place.ledger == dict.fromkeys(range(1, 11), "ran\n")
        place.assert_known_once(jobs)
    finally:
        next(servers, None)
        next(places, None)


# -- 9. a full disk there


@pytest.fixture
def tiny(place: Place) -> Iterator[Path]:
    folder = place.far / "tiny"
    _make(folder, place.user)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    shutil.chown(folder, place.user, place.user)
    folder.chmod(0o700)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_an_input_that_does_not_fit_fails_its_job_alone_and_names_the_path(
    site: SshSite, place: Place, tiny: Path
) -> None:
    large = place.here / "large"
    large.write_bytes(os.urandom(5_000_000))
    tasks = [place.task(number) for number in range(1, 6)]
    tasks.append(place.task(6, inputs=[Input(to="large", path=str(large))]))
    transport = watched({"kind": "ssh", "host": "target", "config": str(site.config)})
    jobs = asyncio.run(place.run(transport, tasks, workspace=str(tiny / "workspace")))
    place.assert_once(jobs, count=5)
    assert (jobs[5].state, jobs[5].reason) == (State.FAILED, Reason.WORKSPACE)
    assert str(tiny / "workspace") in jobs[5].message
    assert "No space left" in jobs[5].message
    assert 6 not in place.ledger


def test_jobs_wait_while_the_disk_is_full_and_run_once_there_is_space(site: SshSite, place: Place, tiny: Path) -> None:
    fill = tiny / "fill"

    async def story() -> list[Job]:
        transport = watched({"kind": "ssh", "host": "target", "config": str(site.config)})
        async with place.executor(transport, workspace=str(tiny / "workspace")) as executor:
            first = await executor.submit([place.task(1)])
            await asyncio.wait_for(executor.wait(first), 60)
            filled = as_user(place.user, f"cat /dev/zero >{fill}")
            assert "No space left" in filled.stderr
            tasks = [place.task(number) for number in range(2, 7)]
            later = await executor.submit([
                Task(name=task.name, resources=SMALL,
                     steps=(Step(shell=f"echo in >in.txt; {task.steps[0].shell}"),), outputs=task.outputs)
                for task in tasks
            ])  # fmt: skip
            await _until(lambda: any("No space left" in event for event in place.events))
            fill.unlink()
            return await asyncio.wait_for(executor.wait(later), 60)

    jobs = asyncio.run(story())
    assert [(job.state, job.message, job.collect_problem) for job in jobs] == [(State.SUCCEEDED, "", "")] * 5
    assert place.ledger == dict.fromkeys(range(1, 7), "ran\n")
    place.assert_known_once(jobs)
    told = next(event for event in place.events if "No space left" in event)
    assert str(tiny / "workspace") in told


# -- 10. clocks


@pytest.mark.parametrize("hours", [pytest.param(-2, id="behind"), pytest.param(2, id="ahead")])
def test_a_far_clock_that_is_hours_off_decides_nothing(site: SshSite, place: Place, hours: int) -> None:
    date = place.far / "date"
    _write(date, f'#!/bin/sh\n[ "$*" = +%s ] || exec /bin/date "$@"\necho $(($(/bin/date +%s) + {hours * 3600}))\n',
           mode=0o755)  # fmt: skip
    transport = watched({"kind": "ssh", "host": "target", "config": str(site.config)})
    tasks = [place.task(number, f"sleep 2; date +%s >{place.far}/shown") for number in range(1, 6)]
    began = time.time()
    jobs = asyncio.run(place.run(transport, tasks, programs={"date": str(date)}))
    assert [(job.state, job.message, job.collect_problem) for job in jobs] == [(State.SUCCEEDED, "", "")] * 5
    assert place.ledger == dict.fromkeys(range(1, 6), "ran\n")
    place.assert_known_once(jobs)
    shown = int((place.far / "shown").read_text())
    assert abs(shown - began - hours * 3600) < 120, "the far clock was not off"
    for job in jobs:
        assert 1 <= (job.usage.wall_s or 0) < 60
