"""What asyncssh has to be told, so that it reaches a host as the user's own ``ssh`` would.

Where no OpenSSH is installed, asyncssh reads the configuration files itself.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs

from adapter.environment import user_environment
from adapter.transports.ssh_settings import HostSettings, SettingsError, evaluated, proxy_program

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM_CONFIG = "/etc/ssh/ssh_config"
OTHER_CLIENT = "set `connection.client: openssh`, which uses your own ssh"


async def read_settings(
    asked: str, *, user: str | None = None, port: int | None = None, config: str | None = ""
) -> HostSettings:
    """Return how to reach the host *asked*.

    ``config``: a file to use instead of the user's and the system-wide one; empty for those; ``None`` for none at all.

    Raises:
        SettingsError: a file cannot be read, or something in it is wrong.
    """
    if shutil.which("ssh") is None:
        return _read_without_ssh(asked, user, port, config)
    words, text = list[str](), ""
    if config:
        words += ["-F", str(Path(config).expanduser())]
    elif config is None:
        words += ["-F", "none"]
    elif Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir):
        words, text = [*words, "-F", "/dev/stdin"], _at_another_home(Path.home())
    words += ["-l", user] if user else []
    words += ["-p", str(port)] if port else []
    return await evaluated(words, asked, text)


def _at_another_home(home: Path) -> str:
    """Return a configuration that has ssh look below *home*: it goes by the password file, and not by HOME."""
    file = home / ".ssh" / "config"
    try:
        own = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    own = re.sub(r"(?im)^(\s*include[\s=]+)(.*)$", lambda line: line[1] + _absolute(line[2], home), own)
    own = re.sub(r"(?m)(?<=[\s\"=])~/", f"{home}/", own)
    known = " ".join(f'"{home}/.ssh/{name}"' for name in ("known_hosts", "known_hosts2"))
    system = f"Match all\nInclude {SYSTEM_CONFIG}\nMatch all\n"
    return f"{own}\n{system}UserKnownHostsFile {known}\n"


def _absolute(files: str, home: Path) -> str:
    return re.sub(r"(^|\s)(\"?)(?=[^\s\"/~])", rf"\1\2{home}/.ssh/", files)


_ASYNCSSH_NAMES = (
    "AddressFamily", "BindAddress", "CertificateFile", "Ciphers", "ConnectTimeout", "ForwardAgent",
    "GlobalKnownHostsFile", "GSSAPIAuthentication", "GSSAPIDelegateCredentials", "HostKeyAlgorithms", "HostKeyAlias",
    "Hostname", "IdentitiesOnly", "IdentityAgent", "IdentityFile", "KbdInteractiveAuthentication", "KexAlgorithms",
    "MACs", "PasswordAuthentication", "PKCS11Provider", "Port", "PreferredAuthentications", "ProxyCommand",
    "ProxyJump", "PubkeyAuthentication", "SendEnv", "SetEnv", "TCPKeepAlive", "User", "UserKnownHostsFile",
)  # fmt: skip
_DEFAULTS = {
    "UserKnownHostsFile": ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
    "GlobalKnownHostsFile": ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
    "IdentityFile": [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ed25519")],
}
_FAMILIES = {socket.AF_UNSPEC: "any", socket.AF_INET: "inet", socket.AF_INET6: "inet6"}


def _read_without_ssh(asked: str, user: str | None, port: int | None, config: str | None) -> HostSettings:
    """Return what asyncssh makes of the files: it knows less than ssh, and skips what it does not know."""
    files = [Path(config).expanduser()] if config else []
    if config == "":
        files = [path for path in (Path("~/.ssh/config").expanduser(), Path(SYSTEM_CONFIG)) if path.exists()]
    given = {"username": user, "port": port}
    try:
        found: Any = asyncssh.SSHClientConnectionOptions(
            host=asked, config=files, client_keys=None, known_hosts=None,
            **{name: value for name, value in given.items() if value is not None},
        ).config  # fmt: skip
    except (OSError, ValueError) as error:
        raise SettingsError(str(error)) from error
    values: dict[str, list[str]] = {"port": [str(port)] if port else [], "user": [user] if user else []}
    for name in _ASYNCSSH_NAMES:
        value = found.get(name, _DEFAULTS.get(name))
        if value is None or values.get(name.lower()):
            continue
        listed = value if isinstance(value, list) else [value]
        values[name.lower()] = [_as_ssh_prints(each) for each in listed]
    return HostSettings(asked, values)


def _as_ssh_prints(value: object) -> str:
    if isinstance(value, socket.AddressFamily):
        return _FAMILIES[value]
    return str(value) if not isinstance(value, bool) else "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Hop:
    """A host on the way, with what was said of it beside its settings."""

    host: str
    user: str | None = None
    port: int | None = None


def hops_of(jumps: str) -> list[Hop]:
    """Return the hosts of ``ProxyJump``: ``[ssh://][USER@]HOST[:PORT]``, separated by commas.

    >>> [(hop.host, hop.user, hop.port) for hop in hops_of("a,ssh://me@b:2222,[::1]:22")]
    [('a', None, None), ('b', 'me', 2222), ('::1', None, 22)]
    """
    found = []
    for jump in filter(None, jumps.split(",")):
        match = re.fullmatch(r"(?:ssh://)?(?:(.*)@)?(?:\[(.*)\]|([^:]+))(?::(\d+))?/?", jump.strip())
        if match is None:
            raise SettingsError(f"ProxyJump {jump!r} names no host")
        found.append(Hop(match[2] or match[3], match[1], int(match[4]) if match[4] else None))
    return found


# -- as asyncssh takes them

_FAMILY = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


def connection_options(settings: HostSettings) -> dict[str, Any]:
    """Return what asyncssh has to be told about *settings*, except for keys, host keys and the way there.

    Raises:
        SettingsError: asyncssh can do nothing of what is asked for.
    """
    address = settings.first("bindaddress")
    return {
        "username": settings.user,
        "family": _FAMILY.get(settings.first("addressfamily"), socket.AF_UNSPEC),
        "local_addr": (address, 0) if address else None,
        "tcp_keepalive": not settings.is_off("tcpkeepalive"),
        "kex_algs": _known(settings, "kexalgorithms", get_kex_algs()),
        "encryption_algs": _known(settings, "ciphers", get_encryption_algs()),
        "mac_algs": _known(settings, "macs", get_mac_algs()),
        "public_key_auth": not settings.is_off("pubkeyauthentication"),
        "password_auth": not settings.is_off("passwordauthentication"),
        "kbdint_auth": not settings.is_off("kbdinteractiveauthentication"),
        "host_based_auth": False,
        "gss_auth": settings.is_on("gssapiauthentication"),
        "gss_kex": settings.is_on("gssapikeyexchange"),
        "gss_delegate_creds": settings.is_on("gssapidelegatecredentials"),
        "preferred_auth": settings.first("preferredauthentications") or (),
        "agent_forwarding": _agent_forwarding(settings),
        "env": _environment(settings),
        "send_env": None,
        "request_pty": False,  # RequestTTY is for people: a terminal mangles what programs read
        "command": None,
        "x11_forwarding": False,
    }


def _known(settings: HostSettings, name: str, known: Sequence[bytes]) -> list[str] | tuple[()]:
    """Return those algorithms of *name* that asyncssh has too, in the order of *settings*; ``()`` for its own."""
    asked = settings.first(name).split(",") if settings.first(name) else []
    if not asked or asked[0][:1] in "+-^":
        return ()
    has = {each.decode() for each in known}
    if both := [each for each in asked if each in has]:
        return both
    raise SettingsError(f"{name} {','.join(asked)}: there is none among them that can be used here; {OTHER_CLIENT}")


def _agent_forwarding(settings: HostSettings) -> bool | str:
    asked = settings.first("forwardagent", "no")
    if settings.is_on("forwardagent"):
        return agent_path(settings)
    if asked in {"no", "false"}:
        return False
    return os.environ.get(asked[1:], "") if asked.startswith("$") else str(settings.path(asked))


def _environment(settings: HostSettings) -> dict[str, str]:
    """Return what SendEnv takes along of the user's environment, and what SetEnv adds."""
    patterns = settings.words("sendenv")
    sent = {
        name: value
        for name, value in user_environment().items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    pairs = (pair.partition("=") for pair in settings.all("setenv"))
    return {**sent, **{name: value for name, _, value in pairs}}


def agent_path(settings: HostSettings) -> str:
    """Return the socket of the user's agent; empty where there is none."""
    asked = settings.values.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    if asked.lower() == "none":
        return ""
    if asked == "SSH_AUTH_SOCK" or asked.startswith("$"):
        return os.environ.get(asked.lstrip("$").strip("{}"), "")
    return str(settings.path(asked))


def proxy_command(settings: HostSettings, words: str) -> list[str] | None:
    """Return the program that carries the connection, ``None`` if none does; what it says goes to the file *words*.

    As ssh does, the user's shell runs it. asyncssh would read what it says as if the server had said it.

    Raises:
        SettingsError: its program is not there.
    """
    command = proxy_program(settings)
    if not command:
        return None
    if settings.is_on("proxyusefdpass"):
        raise SettingsError(f"ProxyUseFdpass is not supported; {OTHER_CLIENT}")
    shell = shutil.which(os.environ.get("SHELL") or "/bin/sh") or "/bin/sh"
    # asyncssh takes the end of any of its pipes for the end of the connection: standard error's stays open as 9
    quietly = 'exec 9>&2 2>"$1"; exec "$2" -c "exec $3" 9>&9'
    return ["/bin/sh", "-c", quietly, "sh", words, shell, command]
