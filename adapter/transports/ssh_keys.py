"""The two sides of trust: the keys that we show, and the host keys that we accept; as ssh does it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

from adapter.transports.ssh_options import OTHER_CLIENT
from adapter.transports.ssh_settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapter.transports.ssh_settings import HostSettings

    Passphrase = Callable[[str], str | None]

_USUAL_NAMES = {f"id_{kind}" for kind in ("rsa", "dsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss")}


# -- the keys that we show


@dataclass(slots=True)
class UserKeys:
    """The keys to try, in the order of ssh, and why others were skipped. ``agent`` stays open while we log in."""

    pairs: list[Any] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    agent: asyncssh.SSHAgentClient | None = None

    def close(self) -> None:
        """Leave the agent."""
        if self.agent is not None:
            self.agent.close()

    def about_skipped(self) -> str:
        """Say which keys could not be tried, in brackets; empty if all could."""
        return f" ({'; '.join(self.skipped)})" if self.skipped else ""


async def user_keys(settings: HostSettings, agent: str | None, passphrase: Passphrase | None) -> UserKeys:
    """Return the keys of the agent at the socket *agent* and of the files of *settings*.

    What cannot be used is skipped, as ssh does.
    """
    keys = UserKeys()
    certificates = [each for name in settings.all("certificatefile") for each in _certificates(settings, name, keys)]
    files = [settings.path(name) for name in settings.all("identityfile")]
    named = dict.fromkeys(public for file in files if (public := _public(file)) is not None)
    held = await _held_by_agent(settings, agent, keys)
    keys.pairs = [held[public] for public in named if public in held]
    if not settings.is_on("identitiesonly"):
        keys.pairs += [pair for public, pair in held.items() if public not in named]
    for file in files:
        if _public(file) not in held:
            keys.pairs += _from_file(file, passphrase, certificates, keys.skipped)
    keys.pairs += _from_card(settings, keys)
    return keys


async def _held_by_agent(settings: HostSettings, path: str | None, keys: UserKeys) -> dict[bytes, Any]:
    if not path:
        return {}
    try:
        keys.agent = await asyncssh.connect_agent(path)
        return {pair.public_data: pair for pair in await keys.agent.get_keys()}
    except (asyncssh.Error, OSError, ValueError) as error:
        if "identityagent" in settings.values:
            keys.skipped.append(f"the agent {path} does not answer: {error}")
        return {}


def _public(file: Path) -> bytes | None:
    for path in (file.with_name(f"{file.name}.pub"), file):
        with suppress(OSError, asyncssh.KeyImportError, ValueError):
            return asyncssh.read_public_key(path).public_data
    return None


def _certificates(settings: HostSettings, name: str, keys: UserKeys) -> Sequence[Any]:
    path = settings.path(name)
    try:
        return asyncssh.load_certificates(str(path))
    except (OSError, asyncssh.KeyImportError, ValueError) as error:
        keys.skipped.append(f"the CertificateFile {path}: {getattr(error, 'strerror', None) or error}")
        return []


def _from_file(
    file: Path, passphrase: Passphrase | None, certificates: Sequence[Any], skipped: list[str]
) -> Sequence[Any]:
    try:
        mode = file.stat()
        if mode.st_uid == os.getuid() and stat.S_IMODE(mode.st_mode) & 0o077 and _is_private(file):
            open_to_all = f"its mode {stat.S_IMODE(mode.st_mode):04o} lets others read it: `chmod 600 {file}`"
            skipped.append(f"the key {file} is ignored, {open_to_all}")
            return []
        asked: Any = passphrase  # asyncssh asks it for the passphrase, and declares only the text
        return asyncssh.load_keypairs(str(file), asked, certificates)
    except FileNotFoundError:
        if file.name not in _USUAL_NAMES:
            skipped.append(f"the key {file} does not exist")
    except OSError as error:
        skipped.append(f"the key {file}: {error.strerror}")
    except (asyncssh.KeyImportError, ValueError) as error:
        locked = str(error).startswith("Passphrase")
        why = f"needs its passphrase: `ssh-add {file}`" if locked else f"cannot be read: {error}"
        if locked or _is_private(file):
            skipped.append(f"the key {file} {why}")
    return []


def _is_private(file: Path) -> bool:
    with suppress(OSError):
        return b"PRIVATE KEY" in file.read_bytes()
    return False


def _from_card(settings: HostSettings, keys: UserKeys) -> Sequence[Any]:
    provider = settings.first("pkcs11provider")
    if not provider:
        return []
    try:
        return asyncssh.load_pkcs11_keys(str(settings.path(provider)))
    except Exception as error:  # noqa: BLE001 (whatever the provider's library raises)
        keys.skipped.append(f"the PKCS11Provider {provider}: {error}")
        return []


# -- the host keys that we accept


class HostKeys:
    """What is known of one host's keys, and what to do about a key that is not known."""

    def __init__(self, settings: HostSettings, files: Sequence[str] | None = None) -> None:
        """Read the files of *settings*, or *files* instead; as for ssh, one that is not there knows nothing.

        Raises:
            SettingsError: the list of revoked keys cannot be read.
        """
        self._settings = settings
        self._alias = settings.first("hostkeyalias")
        shared: list[str] = []
        if files is None:
            files, shared = settings.words("userknownhostsfile"), settings.words("globalknownhostsfile")
        self._strictness = settings.first("stricthostkeychecking", "ask").lower()
        self._known = asyncssh.SSHKnownHosts()
        self._files = [Path(file).expanduser() for file in (*files, *shared)]  # ssh has replaced the tokens in them
        for file in self._files:
            self._load(file)
        for name in settings.all("revokedhostkeys"):
            self._load_revoked(settings.path(name))
        self.refused: asyncssh.SSHKey | None = None
        self.has_accepted_change = False

    def _load(self, file: Path) -> None:
        with suppress(OSError):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError):  # ssh skips a line that it cannot read, too
                    self._known.load(line)

    def _load_revoked(self, file: Path) -> None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SettingsError(f"cannot read RevokedHostKeys {file}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SettingsError(f"RevokedHostKeys {file} is a revocation list in OpenSSH's binary form; "
                                f"only a list of public keys can be used here; {OTHER_CLIENT}") from None  # fmt: skip
        for line in lines:
            with suppress(ValueError):
                self._known.load(f"@revoked * {line}")

    def match(self, host: str = "", address: str = "", port: int | None = None) -> tuple[Any, Any, Any]:
        """Return the host's known keys, the authorities that may vouch for it, and the revoked keys."""
        name, port = self._alias or self._settings.host, self._settings.port
        plain = self._known.match(name, "", None)[:3]
        if self._alias or port == 22:
            return plain
        # asyncssh's own look-up with a port forgets what is revoked there if nothing else is known
        at_port = self._known.match(f"[{name}]:{port}", "", None)[:3]
        keys, authorities, _ = at_port if any(at_port[:2]) else plain
        return keys, authorities, [*at_port[2], *plain[2]]

    def algorithms(self) -> list[str]:
        """Return the kinds of host key to ask for: the known ones first, so that a server shows what we can check."""
        keys, authorities, _ = self.match()
        known = [algorithm.decode() for key in keys for algorithm in key.sig_algorithms]
        usable = {each.decode() for each in get_public_key_algs()}
        certificates = {each.decode() for each in get_certificate_algs()}
        asked = self._settings.first("hostkeyalgorithms").split(",")
        plain = [each for each in asked if each in usable]
        vouched = [each for each in asked if each in certificates] if authorities else []
        return list(dict.fromkeys([*vouched, *(each for each in known if not plain or each in plain), *plain]))

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether to go on with *key*, which is not known: as ``StrictHostKeyChecking`` says."""
        is_changed = self.is_known
        may = self._strictness in {"no", "off", "false"} or (self._strictness == "accept-new" and not is_changed)
        if not may:
            self.refused = key
        elif is_changed:
            self.has_accepted_change = True
        else:
            self._remember(key)
        return may

    @property
    def is_known(self) -> bool:
        """Whether another key of the host was accepted before."""
        return any(self.match()[:2])

    def _remember(self, key: asyncssh.SSHKey) -> None:
        name = self._alias or self._settings.host
        if not self._alias and self._settings.port != 22:
            name = f"[{name}]:{self._settings.port}"
        if self._settings.is_on("hashknownhosts"):
            name = _hashed(name)
        with suppress(OSError, IndexError):  # ssh goes on without, too
            file = self._files[0]
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as known:
                known.write(f"{name} {key.export_public_key().decode().strip()}\n")

    def verdict(self, host: str, words: str) -> str:
        """Say why the key of *host* was refused; *words* are asyncssh's."""
        if "revoked" in words:
            return f"the host key of {host} is REVOKED: nobody may use it any more. Ask the site for its new one"
        shown = f" (it shows {self.refused.get_fingerprint()})" if self.refused is not None else ""
        if self.is_known and self.refused is not None:
            return (
                f"the host key of {host} has CHANGED since it was accepted{shown}: somebody may be in between. "
                "Ask the site; only if it says so, remove the old key with `ssh-keygen -R` and accept the new one"
            )
        if self.refused is None:
            return f"the host key of {host} cannot be trusted: {words}"
        return (
            f"the host key of {host} is not known{shown}. Compare its fingerprint with what the site publishes, "
            f"and accept it once with `ssh {host}`"
        )


def _hashed(name: str) -> str:
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|".join(["", "1", base64.b64encode(salt).decode(), base64.b64encode(digest).decode()])
