"""A secret is where it has to be, and nowhere else: in no command line, no file of ours, nothing that is printed."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from adapter.config.load import load_backend
from adapter.config.secrets import read_secrets
from adapter.errors import ConfigError
from tests.fakes.tes import Answer, Tes, basic, failed, serving

SECRET = "s3cret-Oq7f of 1843"
USER = "ada"
FORMS = [SECRET.encode(), base64.b64encode(f"{USER}:{SECRET}".encode())]


@dataclass
class Watch:
    """Looks at every process of the machine, over and over, for *forms* in its command line (and environment)."""

    with_environment: bool
    hits: set[str] = field(default_factory=set)
    curls: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for process in Path("/proc").iterdir():
                if not process.name.isdigit():
                    continue
                words = _read(process / "cmdline")
                if words.startswith(b"curl\0"):
                    self.curls.add(process.name)
                held = words + (_read(process / "environ") if self.with_environment else b"")
                if any(form in held for form in FORMS):
                    self.hits.add(f"{process.name}: {words!r}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended, or is somebody else's
        return b""


@dataclass
class Place:
    """A folder with a site file, and ``adapter`` run in it as a process of its own."""

    folder: Path
    server: Tes
    environ: dict[str, str]
    printed: list[str] = field(default_factory=list)

    def adapter(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "adapter", *words], cwd=self.folder / "work", env=self.environ, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=180, check=False,
        )  # fmt: skip
        self.printed += [done.stdout, done.stderr]
        return done

    def site(self, secrets: dict[str, dict[str, object]]) -> str:
        path = self.folder / "work" / "site.yaml"
        document = {
            "format": 1,
            "name": "site",
            "extends": "tes",
            "workspace": str(self.folder / "ws"),
            "values": {"url": self.server.url, "user": USER, "retry_wait": 0},
            "limits": {"poll_seconds": [0.1, 0.2]},
            "secrets": secrets,
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return str(path)

    def leaks(self) -> list[str]:
        """What was printed, and every file below our folder, with the secret in it; not the vault that holds it."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "vault"]
        assert any(path.suffix == ".sqlite" or "store" in path.name for path in files)
        found = [str(path) for path in files if any(form in path.read_bytes() for form in FORMS)]
        return found + [text for text in self.printed if any(form.decode() in text for form in FORMS)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "vault").write_text(f"{SECRET}\na second line\n", encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(tmp_path / "home"),
        "ADAPTER_STATE": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "home" / ".config"),
    }  # fmt: skip
    with serving(Tes(delay_s=0.15)) as server:
        yield Place(tmp_path, server, environ)


@pytest.mark.parametrize(("name", "source"), [("password", "env"), ("token", "file"), ("password", "command")])
def test_a_secret_is_seen_nowhere(place: Place, source: str, name: str) -> None:
    vault = place.folder / "vault"
    sources = {"env": "MY_SECRET", "file": str(vault), "command": f"cat {vault}"}
    site = place.site({name: {"env": None, "optional": False, source: sources[source]}})
    if source == "env":
        place.environ["MY_SECRET"] = SECRET
    place.server.auth = (basic(USER, SECRET) if name == "password" else f"Bearer {SECRET}",)
    place.server.ends = lambda task: failed(3)
    with Watch(with_environment=source != "env") as watch:
        done = place.adapter("run", "--on", site, "--image", "alpine", "--name", "t", "--", "sh", "-c", "exit 3")
        run = done.stderr.split("adapter: ")[1].split(".1 ")[0]
        log = place.adapter("logs", f"{run}.1")
    assert watch.curls, "no curl was seen while it ran: nothing is proved"
    assert watch.hits == set()
    assert done.returncode == 3, done.stderr
    assert log.stdout == "out 1\n"
    shown = [
        place.adapter("render", "--on", site, "--image", "alpine", "--", "true"),
        place.adapter("status", run, "--json"),
        place.adapter("backends", "explain", site),
        place.adapter("backends", "show", site),
        place.adapter("kill", run),
    ]
    assert [each.returncode for each in shown] == [0] * len(shown), [each.stderr for each in shown]
    assert place.leaks() == []


def test_what_a_server_says_of_a_secret_is_blotted_out(place: Place) -> None:
    site = place.site({"password": {"env": None, "file": str(place.folder / "vault")}})
    place.server.lists = [Answer(418, f'{{"error": "{USER}:{SECRET} is not welcome today"}}')]
    place.server.gets = [Answer(400, f'{{"error": "and {SECRET} still is not"}}')]
    done = place.adapter("run", "--on", site, "--image", "alpine", "--", "true")
    assert done.returncode == 0, done.stderr
    assert "HTTP status 418 of a list" in done.stderr
    assert f"{USER}:[secret] is not welcome today" in done.stderr
    assert place.leaks() == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"env": "NOT_SET_ANYWHERE"}, "the environment variable NOT_SET_ANYWHERE is not set"),
        ({"env": "EMPTY"}, "its env EMPTY gives nothing"),
        ({"file": "/nowhere/password"}, "cannot read /nowhere/password: No such file or directory"),
        ({"command": "exit 7"}, "its command ended with exit code 7"),
        ({"command": "echo"}, "its command gives nothing"),
    ],
    ids=["no variable", "empty variable", "no file", "command fails", "command says nothing"],
)
def test_a_secret_that_cannot_be_had_is_told_before_anything_is_sent(
    place: Place, source: dict[str, object], words: str
) -> None:
    site = place.site({"password": {"env": None, "optional": False, **source}})
    place.environ["EMPTY"] = ""
    done = place.adapter("run", "--on", site, "--image", "alpine", "--", "true")
    assert done.returncode == 2
    assert f"secret password of backend site: {words}" in done.stderr
    assert place.server.requests == []


def test_a_command_that_fails_shows_nothing_of_itself(place: Place) -> None:
    site = place.site({"password": {"env": None, "optional": False, "command": f"printf %s {SECRET!r}; exit 1"}})
    with pytest.raises(ConfigError) as caught:
        read_secrets(load_backend(site, environ=place.environ).backend)
    assert str(caught.value) == "secret password of backend site: its command ended with exit code 1"


def test_only_the_first_line_is_the_secret_and_an_optional_one_may_be_missing(place: Place) -> None:
    site = place.site({"password": {"env": None, "file": str(place.folder / "vault")}})
    found = read_secrets(load_backend(site, environ=place.environ).backend)
    assert found == {"token": "", "password": SECRET}


def test_a_secret_has_one_source(place: Place) -> None:
    with pytest.raises(ConfigError, match="secret password has both env and file; give one of env, file, command"):
        load_backend(place.site({"password": {"env": "X", "file": "/x"}}), environ=place.environ)


def test_a_site_that_names_a_secret_replaces_it_as_a_whole(place: Place) -> None:
    loaded = load_backend(place.site({"password": {"file": "/x"}}), environ=place.environ).backend
    assert loaded.secrets["password"] == {"file": "/x"}


def test_a_secret_that_nobody_declared_is_told_with_its_place(place: Place) -> None:
    path = Path(place.site({}))
    path.write_text(path.read_text(encoding="utf-8") + "kill: {command: 'echo $secret_pasword {{ job_id }}'}\n")
    with pytest.raises(ConfigError, match=r"site\.yaml:\d+:\d+: unknown secret 'pasword'; did you mean 'password'"):
        load_backend(str(path), environ=place.environ)
