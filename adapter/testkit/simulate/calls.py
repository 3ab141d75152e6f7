"""How a backend's commands call a scheduler's programs: seen by running them with programs that only write down."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapter.config.library import library
from adapter.core.library import commands_text
from adapter.core.template import quote
from adapter.errors import CompletedCommand

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from adapter.core.backend import Backend

_TIMEOUT_S = 20
_ORDINARY = """
sh dash bash awk gawk mawk sed grep egrep fgrep cat cut head tail tr sort uniq wc date id uname mktemp printf
echo test [ expr basename dirname readlink realpath ls mkdir rm rmdir mv cp ln chmod touch sleep env tee xargs
find kill getconf paste od cksum tac nl nohup setsid ps true false stat seq hostname timeout flock perl
python3 jq tar gzip sha256sum md5sum df du diff cmp comm join fold expand column logger whoami
"""
ORDINARY = frozenset(_ORDINARY.split())
"""Programs that are no scheduler's: commands have them as they are."""
_INSTEAD = {"setsid": "true"}  # what begins a session of its own would go on when the command was written down

_RECORDER = """\
#!{python} -SE
import os, stat, sys, time
folder, kind = {folder!r}, os.fstat(1).st_mode
try:
    about = os.fstat(0).st_mode
    text = b"" if stat.S_ISCHR(about) else os.read(0, 1 << 16)
except OSError:
    text = b""
parts = [{name!r}, "captured" if stat.S_ISFIFO(kind) else "", *sys.argv[1:]]
with open(f"{{folder}}/seen/{{time.time_ns()}}-{{os.getpid()}}", "wb") as file:
    file.write(text.replace(b"\\0", b"") + b"\\0" + b"\\0".join(os.fsencode(part) for part in parts))
for stream, name in ((1, "say"), (2, "say2")):
    try:
        with open(f"{{folder}}/{{name}}", "rb") as file:
            os.write(stream, file.read())
    except OSError:
        pass
with open(f"{{folder}}/code") as file:
    sys.exit(int(file.read()))
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program: what it was given, and whether what it printed was caught by the command around it."""

    program: str
    arguments: tuple[str, ...]
    stdin: str
    captured: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one command: its answer, and the calls that it made, in order."""

    completed: CompletedCommand
    calls: tuple[Call, ...]


class Recorder:
    """Runs commands where every program of the scheduler only writes down how it is called, and says what it is told.

    Nothing else can be reached: the ``PATH`` has only ordinary programs and these.
    """

    def __init__(self, backend: Backend, folder: Path) -> None:
        """Take the *backend*, and an empty *folder* for the programs and what they write."""
        self._backend = backend
        self._folder = folder
        for name in ("bin", "seen"):
            (folder / name).mkdir(parents=True)
        for name in ORDINARY:
            if (found := shutil.which(_INSTEAD.get(name, name))) is not None:
                (folder / "bin" / name).symlink_to(found)
        self.programs: list[str] = []
        self._add(name for name in backend.needs if name not in ORDINARY)

    def _add(self, names: Iterable[str]) -> None:
        python = os.path.realpath(sys.executable)
        for name in names:
            if name not in self.programs and re.fullmatch(r"[\w.+-]+", name):
                file = self._folder / "bin" / name
                file.write_text(_RECORDER.format(python=python, folder=str(self._folder), name=name), encoding="utf-8")
                file.chmod(0o755)
                self.programs.append(name)

    def run(self, command: str, *, say: str = "", say2: str = "", code: int = 0, cwd: Path | None = None) -> Seen:
        """Run *command*; every program prints *say*, and *say2* on standard error, and ends with *code*.

        A program that is missing and no ordinary one is taken for one of the scheduler's, and the command runs again.
        """
        while True:
            seen = self._run(command, say=say, say2=say2, code=code, cwd=cwd)
            missing = set(re.findall(r"(\S+): (?:command )?not found", seen.completed.stderr))
            new = {name.rstrip(":") for name in missing} - {*self.programs, *ORDINARY}
            if not new:
                return seen
            self._add(sorted(new))

    def _run(self, command: str, *, say: str, say2: str, code: int, cwd: Path | None) -> Seen:
        folder = self._folder
        for name, text in (("say", say), ("say2", say2), ("code", str(code))):
            (folder / name).write_text(text, encoding="utf-8")
        script = commands_text(self._backend, [], library()) + f"( eval {quote(command)} ) </dev/null\n"
        environment = {"PATH": str(folder / "bin"), "HOME": str(folder), "LANG": "C.UTF-8"}
        (folder / "script").write_text(script, encoding="utf-8")
        with ExitStack() as files:
            stdin = files.enter_context((folder / "script").open("rb"))
            out, err = (files.enter_context((folder / name).open("wb")) for name in ("out", "err"))
            process = subprocess.Popen(
                ["/bin/sh", "-s"], stdin=stdin, stdout=out, stderr=err, env=environment, cwd=cwd or folder,
                start_new_session=True,
            )  # fmt: skip
        ending = threading.Timer(_TIMEOUT_S, os.killpg, (process.pid, signal.SIGKILL))
        ending.start()
        exit_code = process.wait()
        ending.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        calls = []
        for file in sorted((folder / "seen").iterdir()):
            text, name, caught, *arguments = file.read_bytes().decode("utf-8", "replace").split("\0")
            calls.append(Call(name, tuple(arguments), text, bool(caught)))
            file.unlink()
        out_text, err_text = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Seen(
            CompletedCommand(command=command, exit_code=exit_code, stdout=out_text, stderr=err_text), tuple(calls)
        )
