"""``~/.ssh/config`` as people have it: what ssh skips is skipped, a mistake here is never a network that is down."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest

from adapter.errors import AuthenticationError, ConnectError
from adapter.transports import transport_for
from adapter.transports.ssh_options import connection_options, read_settings
from tests.cli.conftest import Shell
from tests.transports.test_ssh import SERVER_KEY, USER_KEY, Server, prompter, server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adapter.transports.base import Transport

__all__ = ["server"]

OTHER_KEY, OTHER_KIND = (
    asyncssh.generate_private_key("ssh-ed25519"),
    asyncssh.generate_private_key("ecdsa-sha2-nistp256"),
)
NETCAT = """
import os, socket, sys, threading
sys.stderr.write("noise: " + "x" * 5000 + "\\n")
link = socket.create_connection(sys.argv[1:])
def up():
    while data := os.read(0, 65536):
        link.sendall(data)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := link.recv(65536):
    os.write(1, data)
"""


def text_of(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


class Home:
    """The home directory of a user of ssh."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ssh = server.folder / ".ssh"
        self.ssh.mkdir(mode=0o700)
        for name in ("key", "somebody-cluster", "with space"):
            self.write(name, USER_KEY.export_private_key().decode(), mode=0o600)
        self.write("nc.py", NETCAT)

    def write(self, name: str, text: str, *, mode: int = 0o644) -> Path:
        path = self.ssh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def known(self, *keys: asyncssh.SSHKey, name: str = "", file: str = "known_hosts", marker: str = "") -> None:
        name = name or f"[127.0.0.1]:{self.server.port}"
        self.write(file, "".join(f"{marker}{name} {text_of(key)}\n" for key in keys))

    def transport(self, *, prompt: Callable[[str, bool], str | None] | None = None, **rest: object) -> Transport:
        """Return a transport of the server's client to ``cluster``."""
        return transport_for({**self.connection, **rest}, folder=self.server.links, prompt=prompt)

    @property
    def connection(self) -> dict[str, object]:
        """The ``connection`` to ``cluster`` of a backend file."""
        connection: dict[str, object] = {"kind": "ssh", "host": "cluster", "client": self.server.client}
        return connection | ({"config": str(self._as_at_home())} if self.server.client == "openssh" else {})

    def _as_at_home(self) -> Path:
        """Return the configuration as ssh would read it if this were the home that the password file names."""
        file = self.ssh / "config"
        if not file.exists():
            return file
        text = file.read_text().replace("conf.d/", f"{self.ssh}/conf.d/").replace("~/", f"{self.server.folder}/")
        known = " ".join(f'"{self.ssh}/{name}"' for name in ("known_hosts", "known_hosts2"))
        if "Match all" not in text:
            file.write_text(f"{text}\nMatch all\nUserKnownHostsFile {known}\nGlobalKnownHostsFile none\n")
        return file

    def config(self, text: str, *, key: str = "IdentityFile ~/.ssh/key") -> None:
        """Write the configuration: *text* first, as the first value wins."""
        lines = "\n".join(f"    {line}" for line in text.format(ssh=self.ssh, python=sys.executable).splitlines())
        host = f"    HostName 127.0.0.1\n    Port {self.server.port}\n    User somebody\n    {key}\n"
        self.write("config", f"Host cluster\n{lines}\n{host}", mode=0o600)


# What ssh only finds when it needs it.
MISTAKES_AFTER_LOGIN = {
    ("openssh", "RevokedHostKeys ~/.ssh/missing"): 1,
    ("openssh", "IdentityFile ${{NOT_SET_AT_ALL}}/key"): 1,
}


@pytest.fixture
def home(server: Server, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("SHELL", "/bin/sh")
    return Home(server)


def where(client: str) -> pytest.MarkDecorator:
    """For what only *client* does."""
    return pytest.mark.parametrize("server", [client], indirect=True)


def log_in(home: Home, prepare: Callable[[], None], *, command: str = "echo in", times: int = 1, **rest: object) -> str:
    """Return what *command* prints on ``cluster``; *prepare* is called when the server has its port."""

    async def story() -> str:
        async with serving(home.server):
            prepare()
            async with home.transport(**rest) as transport:
                for _ in range(times - 1):
                    with pytest.raises(AuthenticationError):
                        await transport.run(command, timeout_s=20)
                return (await asyncio.wait_for(transport.run(command, timeout_s=20), 40)).stdout

    return asyncio.run(story())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing special"),
        pytest.param("IdentityFile ~/.ssh/missing", id="a key that is not there"),
        pytest.param("CertificateFile ~/.ssh/missing-cert.pub", id="a certificate that is not there"),
        pytest.param("CertificateFile ~/.ssh/nc.py", id="a certificate that is none"),
        pytest.param("IdentityFile ~/.ssh/nc.py", id="a key that is none"),
        pytest.param("IdentityFile ~/.ssh", id="a key that is a folder"),
        pytest.param('IdentityFile "~/.ssh/with space"', id="a key with a space in its name"),
        pytest.param("IdentityFile ~/.ssh/%r-%n\nIdentitiesOnly yes", id="tokens"),
        pytest.param("IdentityAgent ~/.ssh/no-agent", id="an agent that is not there"),
        pytest.param("UserKnownHostsFile ~/.ssh/missing ~/.ssh/known_hosts", id="two files of known hosts"),
        pytest.param("GlobalKnownHostsFile ~/.ssh/known_hosts\nUserKnownHostsFile none", id="the system's known hosts"),
        pytest.param("HostKeyAlias other-name\nUserKnownHostsFile ~/.ssh/aliased", id="an alias of the host key"),
        pytest.param("UserKnownHostsFile ~/.ssh/untidy", id="a line of known hosts that nobody can read"),
        pytest.param("StrictHostKeyChecking accept-new\nUserKnownHostsFile ~/.ssh/new", id="new host keys accepted"),
        *(pytest.param(f"RequestTTY {value}", id=f"RequestTTY {value}") for value in ("yes", "no", "force", "auto")),
        pytest.param("RemoteCommand tmux attach", id="a command for people"),
        pytest.param("Include ~/.ssh/missing.conf", id="an Include of nothing"),
        pytest.param("Include conf.d/*", id="a relative Include"),
        pytest.param('Match exec "true"\nCompression yes\nMatch originalhost cluster', id="Match exec"),
        pytest.param("IgnoreUnknown Bogus\nBogus yes", id="an unknown word that is to be ignored"),
        pytest.param("ProxyCommand {python} ~/.ssh/nc.py %h %p", id="a proxy that talks"),
        pytest.param("ProxyCommand {python} $HOME/.ssh/nc.py %h %p | cat", id="a proxy for a shell"),
        pytest.param("AddressFamily inet\nBindAddress 127.0.0.1\nTCPKeepAlive no", id="addresses"),
        pytest.param("Ciphers aes256-ctr\nMACs hmac-sha2-256\nKexAlgorithms curve25519-sha256", id="algorithms"),
        pytest.param("HostKeyAlgorithms ssh-ed25519,ssh-rsa", id="kinds of host key"),
        pytest.param("LocalForward 1 127.0.0.1:1\nControlMaster auto\nControlPath ~/.ssh/%C", id="what is not ours"),
        pytest.param("PreferredAuthentications publickey\nGSSAPIAuthentication yes", id="ways to log in"),
    ],
)
def test_what_works_for_ssh_works_here(home: Home, text: str) -> None:
    home.write("conf.d/more", "User somebody\n")

    def prepare() -> None:
        home.config(text)
        home.known(SERVER_KEY)
        home.known(SERVER_KEY, name="other-name", file="aliased")
        home.known(OTHER_KEY, file="changed")
        home.known(SERVER_KEY, file="untidy")
        home.write("untidy", "what is this\n@strange x y z\n" + (home.ssh / "untidy").read_text())

    assert log_in(home, prepare) == "in\n"


@where("asyncssh")
@pytest.mark.parametrize("file", ["/dev/null", "~/.ssh/changed"])
def test_host_keys_that_the_configuration_lets_through_unchecked_are(home: Home, file: str) -> None:
    def prepare() -> None:
        home.config(f"StrictHostKeyChecking no\nUserKnownHostsFile {file}")
        home.known(OTHER_KEY, file="changed")

    assert log_in(home, prepare) == "in\n"


@where("openssh")
@pytest.mark.parametrize(("file", "said"), [("/dev/null", "is not known"), ("~/.ssh/changed", "has CHANGED")])
def test_host_keys_are_checked_by_openssh_whatever_the_configuration_says(home: Home, file: str, said: str) -> None:
    def prepare() -> None:
        home.config(f"StrictHostKeyChecking no\nUserKnownHostsFile {file}")
        home.known(OTHER_KEY, file="changed")

    with pytest.raises(AuthenticationError, match=f"the host key of cluster {said}"):
        log_in(home, prepare)


@where("asyncssh")
def test_what_is_to_be_set_and_sent_reaches_the_server_and_only_that(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SendEnv and SetEnv leave here as the user had them; what a server takes of it is its own matter."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_TIME", "de_DE.UTF-8")
    monkeypatch.setenv("PRIVATE", "1")
    home.server.port = 22
    home.config("SetEnv A=1 B=two\nSendEnv LANG LC_*")
    assert connection_options(asyncio.run(read_settings("cluster")))["env"] == {
        "A": "1", "B": "two", "LC_TIME": "de_DE.UTF-8"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("Bogus yes", r"\.ssh/config: line 2: Bad configuration option: bogus", id="an unknown word"),
        pytest.param("Port many", r"\.ssh/config line 2: Bad number 'many'|line 2: bad port|Bad port", id="a port"),
        pytest.param("StrictHostKeyChecking maybe", r"\.ssh/config line 2: .*maybe", id="a value that is none"),
        pytest.param("ProxyCommand no-such-program %h", "there is no program no-such-program", id="no such proxy"),
        pytest.param("ProxyCommand ~/no/such %h", "there is no program ", id="no such proxy at home"),
        pytest.param("ProxyCommand $HOME/no/such %h", "there is no program ", id="no such proxy by a variable"),
        pytest.param("ProxyCommand ~/x %q", "the unknown token %q", id="a token of nothing"),
        pytest.param(
            "IdentityFile ${{NOT_SET_AT_ALL}}/key",
            "NOT_SET_AT_ALL(, which is not set|. has no value)",
            id="no such variable",
        ),
        pytest.param(
            "RevokedHostKeys ~/.ssh/missing",
            r"(cannot read RevokedHostKeys|in revoked keys file) .*: No such file",
            id="revocations",
        ),
    ],
)
def test_a_mistake_in_the_configuration_stops_at_once_and_says_what_and_where(home: Home, text: str, said: str) -> None:
    def prepare() -> None:
        home.config(text)
        home.known(SERVER_KEY)

    with pytest.raises(AuthenticationError, match=f"the SSH set-up for cluster is wrong: .*({said})"):
        log_in(home, prepare, times=2)
    assert home.server.logins == MISTAKES_AFTER_LOGIN.get((home.server.client, text), 0)


@where("asyncssh")
def test_jump_hosts_in_a_circle_stop_at_once(home: Home) -> None:
    def prepare() -> None:
        home.config("ProxyJump cluster2")
        with (home.ssh / "config").open("a") as config:
            config.write("Host cluster2\n    ProxyJump cluster3\nHost cluster3\n    ProxyJump cluster2\n")

    with pytest.raises(AuthenticationError, match="its jump hosts lead on and on"):
        log_in(home, prepare)
    assert home.server.logins == 0


def test_a_configuration_file_that_the_backend_names_and_that_is_not_there_is_no_network_error(home: Home) -> None:
    with pytest.raises(AuthenticationError, match=r"set-up for cluster is wrong: .*nowhere: No such file"):
        log_in(home, lambda: None, config=str(home.ssh / "nowhere"))


@pytest.mark.parametrize(
    ("key", "said", "said_by_ssh"),
    [
        pytest.param("missing", "the key {}/missing does not exist", "no such identity: {}/missing", id="missing"),
        pytest.param(
            "open",
            "the key {0}/open is ignored, its mode 0644 lets others read it: `chmod 600 {0}/open`",
            "Permissions 0644 for '{}/open' are too open",
            id="open",
        ),
        pytest.param("broken", "the key {}/broken cannot be read: ", 'Load key "{}/broken": ', id="broken"),
    ],
)
def test_a_key_that_was_skipped_is_named_where_no_other_one_opens(
    home: Home, key: str, said: str, said_by_ssh: str
) -> None:
    said = {"asyncssh": said, "openssh": said_by_ssh}[home.server.client]
    home.write("open", USER_KEY.export_private_key().decode(), mode=0o644)
    home.write("broken", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", mode=0o600)

    def prepare() -> None:
        home.config("", key=f"IdentityFile ~/.ssh/{key}")
        home.known(SERVER_KEY)

    with pytest.raises(AuthenticationError) as refused:
        log_in(home, prepare)
    assert "cluster does not let us in" in str(refused.value)
    assert said.format(home.ssh) in str(refused.value)


@pytest.fixture
def agent(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that holds a key that the server does not know, and then the user's."""
    folder = tempfile.mkdtemp(prefix="agent-", dir="/tmp")  # short, as the path of a socket has to be
    daemon = subprocess.Popen(["ssh-agent", "-D", "-a", f"{folder}/socket"], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    daemon.stdout.readline()  # it listens
    monkeypatch.setenv("SSH_AUTH_SOCK", f"{folder}/socket")
    other = home.write("other", OTHER_KEY.export_private_key().decode(), mode=0o600)
    for key in (other, home.ssh / "key"):
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
    (home.ssh / "key").unlink()
    yield
    daemon.terminate()
    daemon.wait()
    daemon.stdout.close()
    shutil.rmtree(folder)


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="no ssh-agent here")
@pytest.mark.parametrize(
    ("text", "opens"),
    [
        pytest.param("", True, id="a key of the agent"),
        pytest.param("IdentityFile ~/.ssh/key\nIdentitiesOnly yes", True, id="the one whose public half is named"),
        pytest.param("IdentityFile ~/.ssh/other\nIdentitiesOnly yes", False, id="another one alone"),
        pytest.param("IdentityAgent none", False, id="no agent"),
        pytest.param("IdentityAgent $SSH_AUTH_SOCK", True, id="an agent by a variable"),
        pytest.param("PubkeyAuthentication no", False, id="no keys at all"),
    ],
)
@pytest.mark.usefixtures("agent")
def test_the_agent_is_asked_as_the_configuration_says(home: Home, text: str, *, opens: bool) -> None:
    home.write("key.pub", text_of(USER_KEY))

    def prepare() -> None:
        home.config(text, key="")
        home.known(SERVER_KEY)

    if opens:
        assert log_in(home, prepare) == "in\n"
    else:
        with pytest.raises(AuthenticationError, match="does not let us in"):
            log_in(home, prepare)


@pytest.mark.parametrize("file", ["known_hosts", "known_hosts2"])
@pytest.mark.parametrize(
    ("keys", "marker", "said"),
    [
        pytest.param([], "", r"the host key of cluster is not known \(it shows SHA256:", id="not known"),
        pytest.param(
            [OTHER_KEY], "", r"the host key of cluster has CHANGED since it was accepted \(it shows", id="changed"
        ),
        pytest.param([OTHER_KIND], "", "the host key of cluster has CHANGED", id="changed to another kind"),
        pytest.param([SERVER_KEY], "@revoked ", "the host key of cluster is REVOKED", id="revoked"),
    ],
)
def test_a_host_key_that_is_refused_is_called_what_it_is_with_the_default_configuration(
    home: Home, file: str, keys: list[asyncssh.SSHKey], marker: str, said: str
) -> None:
    def prepare() -> None:
        home.config("")
        home.known(*keys, file=file, marker=marker)

    with pytest.raises(AuthenticationError, match=said):
        log_in(home, prepare, times=2)
    assert home.server.logins == 1


@pytest.mark.parametrize("strictness", ["yes", "ask", "accept-new", "no"])
def test_a_key_on_the_list_of_revoked_keys_is_refused_however_lax_the_rest_is(home: Home, strictness: str) -> None:
    home.write("revoked", f"{text_of(OTHER_KEY)}\n{text_of(SERVER_KEY)}\n")

    def prepare() -> None:
        home.config(f"StrictHostKeyChecking {strictness}\nRevokedHostKeys ~/.ssh/revoked")
        home.known(SERVER_KEY)

    with pytest.raises(AuthenticationError, match="is REVOKED"):
        log_in(home, prepare)


def test_accept_new_refuses_a_change(home: Home) -> None:
    def prepare() -> None:
        home.config("StrictHostKeyChecking accept-new")
        home.known(OTHER_KEY)

    with pytest.raises(AuthenticationError, match="CHANGED"):
        log_in(home, prepare)


@pytest.mark.parametrize("hashed", ["yes", "no"])
def test_a_new_key_that_is_accepted_is_remembered_so_that_its_change_is_noticed(home: Home, hashed: str) -> None:
    def prepare() -> None:
        home.config(f"StrictHostKeyChecking accept-new\nHashKnownHosts {hashed}")

    assert log_in(home, prepare) == "in\n"
    [line] = (home.ssh / "known_hosts").read_text().splitlines()
    assert line.startswith("|1|" if hashed == "yes" else f"[127.0.0.1]:{home.server.port} ")
    known = asyncssh.import_known_hosts(line)
    assert [text_of(key) for key in known.match("127.0.0.1", "", home.server.port)[0]] == [text_of(SERVER_KEY)]


def test_a_changed_host_that_is_let_through_hears_no_password(home: Home) -> None:
    home.server.password, home.server.keys = "secret", False
    prompt, asked = prompter("secret")

    async def story() -> None:
        async with serving(home.server):
            home.config("StrictHostKeyChecking no")
            home.known(OTHER_KEY)
            async with home.transport(prompt=prompt) as transport:
                await transport.run("true", timeout_s=20)

    with pytest.raises(AuthenticationError, match=r"does not let us in|has CHANGED"):
        asyncio.run(story())
    assert (asked, home.server.asked) == ([], 0)


def test_a_proxy_that_fails_is_quoted(home: Home) -> None:
    def prepare() -> None:
        home.config("ProxyCommand sh -c 'echo the gate is closed >&2; exit 1'")

    with pytest.raises(ConnectError, match=r"cannot reach cluster: .*\(its ProxyCommand says: the gate is closed\)"):
        log_in(home, prepare)


@where("asyncssh")
def test_where_no_ssh_is_installed_the_files_are_read_all_the_same(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home.ssh))
    commands = home.ssh / "echo"
    commands.symlink_to("/bin/echo")

    def prepare() -> None:
        home.config(
            "UserKnownHostsFile ~/.ssh/missing ~/.ssh/known_hosts\nIdentityFile ~/.ssh/missing\nRequestTTY force"
        )
        home.known(SERVER_KEY)

    assert log_in(home, prepare) == "in\n"
    home.config("Port many")
    with pytest.raises(AuthenticationError, match=r"set-up for cluster is wrong: .*config line 2: Invalid Port"):
        log_in(home, lambda: None)


@pytest.mark.parametrize("how", ["run", "wait"])
def test_the_command_ends_with_exit_code_4_and_tries_nothing_again(home: Home, how: str) -> None:
    home.server.port = 9
    home.config("ProxyCommand no-such-program %h %p")
    state = home.server.folder / "state"
    environ = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home.server.folder),
        "ADAPTER_STATE": str(state),
    }
    adapter = Shell(home.server.folder, environ)
    (home.server.folder / "far.yaml").write_text(
        "format: 1\nname: far\nextends: local\nconnection: " + json.dumps(home.connection) + "\n"
    )
    done = adapter("run", "--on", "./far.yaml", "--", "true")
    if how == "wait":
        [run] = json.loads(adapter("status", "--no-poll", "--json").stdout)
        done = adapter("wait", run["run"])
    assert done.returncode == 4
    assert "the SSH set-up for cluster is wrong: the ProxyCommand" in done.stderr
    assert "trying again" not in done.stderr
