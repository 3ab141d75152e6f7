"""What the user's own ``ssh`` would do to reach a host: its configuration, evaluated by ``ssh -G``.

So ``Include``, ``Match exec``, canonical host names, system-wide files and the defaults are as ``ssh`` has them, and a
mistake is reported in its words, with file and line.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.environment import user_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EVALUATED_WITHIN_S = 30.0  # Match exec runs commands, and canonical names are looked up


class SettingsError(Exception):
    """Something here is wrong: trying again does not help."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How to reach one host. ``asked`` is its name as it was asked for; the names of ``values`` are in lower case."""

    asked: str
    values: Mapping[str, Sequence[str]]

    def all(self, name: str) -> list[str]:
        """Return the values of *name*; ``none`` stands for no value."""
        return [value for value in self.values.get(name, ()) if value.lower() != "none"]

    def first(self, name: str, default: str = "") -> str:
        """Return the value of *name*, or *default* where there is none."""
        return next(iter(self.all(name)), default)

    def words(self, name: str) -> list[str]:
        """Return the values of *name* where one line holds several."""
        return [word for value in self.all(name) for word in value.split() if word.lower() != "none"]

    def is_on(self, name: str) -> bool:
        """Whether *name* is set to yes."""
        return self.first(name).lower() in {"yes", "true"}

    def is_off(self, name: str) -> bool:
        """Whether *name* is set to no."""
        return self.first(name).lower() in {"no", "false"}

    @property
    def host(self) -> str:
        """The host to connect to."""
        return self.first("hostname", self.asked)

    @property
    def port(self) -> int:
        """The port to connect to."""
        return int(self.first("port", "22"))

    @property
    def user(self) -> str:
        """Who we are there."""
        return self.first("user") or getpass.getuser()

    def path(self, text: str) -> Path:
        """Return the file that *text* names, with ``~``, tokens and ``${NAME}`` replaced as ssh_config(5) says."""
        return Path(self.expanded(_ENVIRONMENT.sub(_from_environment, text))).expanduser()

    def expanded(self, text: str) -> str:
        """Return *text* with the tokens of ssh_config(5) replaced.

        Raises:
            SettingsError: there is no such token.
        """
        return _TOKEN.sub(self._token, text)

    def _token(self, match: re.Match[str]) -> str:
        here, port, jump = socket.gethostname(), str(self.port), self.first("proxyjump")
        known = {
            "%": "%", "h": self.host, "n": self.asked, "p": port, "r": self.user, "u": getpass.getuser(),
            "d": str(Path.home()), "i": str(os.getuid()), "l": here, "L": here.split(".")[0], "j": jump,
            "k": self.first("hostkeyalias", self.asked),
        }  # fmt: skip
        if match[1] == "C":
            return hashlib.sha1(f"{here}{self.host}{port}{self.user}{jump}".encode()).hexdigest()  # noqa: S324 (as ssh)
        if match[1] not in known:
            raise SettingsError(f"{match.string!r} holds the unknown token {match[0]}")
        return known[match[1]]


_TOKEN = re.compile(r"%(.?)")
_ENVIRONMENT = re.compile(r"\$\{(\w+)\}")


def _from_environment(match: re.Match[str]) -> str:
    try:
        return os.environ[match[1]]
    except KeyError:
        raise SettingsError(f"{match.string!r} needs the environment variable {match[1]}, which is not set") from None


async def evaluated(words: Sequence[str], asked: str, text: str = "") -> HostSettings:
    """Return what ``ssh`` with the options *words* would do to reach *asked*; *text* is its standard input.

    Raises:
        SettingsError: a file cannot be read, something in it is wrong, or there is no ``ssh``.
    """
    ssh = shutil.which("ssh")
    if ssh is None:
        raise SettingsError("there is no program `ssh` on this machine")
    process = await asyncio.create_subprocess_exec(
        ssh, "-G", *words, "--", asked, stdin=-1, stdout=-1, stderr=-1, env=user_environment()
    )
    try:
        async with asyncio.timeout(EVALUATED_WITHIN_S):
            out, err = await process.communicate(text.encode())
    except TimeoutError:
        raise SettingsError(f"`ssh -G {asked}` did not end within {EVALUATED_WITHIN_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = " / ".join(line.strip() for line in err.decode(errors="replace").splitlines() if line.strip())
        said = said.replace("/dev/stdin", str(Path.home() / ".ssh/config"))
        raise SettingsError(said or f"`ssh -G {asked}` ended with exit code {process.returncode}")
    values: dict[str, list[str]] = {}
    for line in out.decode(errors="replace").splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)
    return HostSettings(asked, values)


def proxy_program(settings: HostSettings) -> str:
    """Return the ProxyCommand, its tokens replaced; empty if there is none.

    Raises:
        SettingsError: its program is not there.
    """
    command = settings.expanded(settings.first("proxycommand"))
    program = re.match(r"[\w./+~$-]+(?=\s|$)", command)
    if program and shutil.which(os.path.expanduser(os.path.expandvars(program[0]))) is None:  # noqa: PTH111 (a word)
        raise SettingsError(f"the ProxyCommand {command!r} cannot be run: there is no program {program[0]}")
    return command
