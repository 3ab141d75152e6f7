"""A site's configuration lies below each user's, and guards its login nodes."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from adapter.config.load import load_backend
from adapter.config.settings import load_settings, refuse_on_login_node, state_dir
from adapter.core.backend import Backend, backend_from, merge
from adapter.errors import ConfigError


class Place:
    """A machine with configuration files."""

    def __init__(self, folder: Path) -> None:
        self.site, self.other_site = folder / "xdg" / "adapter", folder / "xdg2" / "adapter"
        self.own = folder / "own.yaml"
        self.environ = {"XDG_CONFIG_DIRS": f"{folder}/xdg:relative:{folder}/xdg2"}

    def write(self, folder: Path, text: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(text)
        return folder / "config.yaml"

    def write_own(self, text: str) -> None:
        self.own.write_text(text)
        self.environ["ADAPTER_CONFIG"] = str(self.own)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    return Place(tmp_path)


def shipped(name: str, **over: object) -> Backend:
    backend = load_backend(name, environ={}).backend
    return backend_from(merge(backend.document, over), name=name, lineage=backend.lineage)


def test_what_a_user_does_not_set_is_the_site_s(place: Place) -> None:
    site = place.write(place.site, "default_backend: cluster\nstate_dir: /scratch/state\n")
    settings = load_settings(place.environ)
    assert (settings.default_backend, settings.state_dir) == ("cluster", Path("/scratch/state"))
    assert settings.sources == {"default_backend": site, "state_dir": site}
    assert settings.files == (site,)


def test_a_user_s_value_wins_and_null_takes_the_site_s_away(place: Place) -> None:
    site = place.write(place.site, "default_backend: cluster\nstate_dir: /scratch/state\n")
    place.write_own("default_backend: mine\nstate_dir: null\n")
    settings = load_settings(place.environ)
    assert (settings.default_backend, settings.state_dir) == ("mine", None)
    assert settings.sources == {"default_backend": place.own}
    assert settings.files == (site, place.own)


def test_the_first_folder_of_the_site_counts_most(place: Place) -> None:
    place.write(place.site, "default_backend: first\n")
    place.write(place.other_site, "default_backend: second\nstate_dir: /second\n")
    settings = load_settings(place.environ)
    assert (settings.default_backend, settings.state_dir) == ("first", Path("/second"))


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        pytest.param("/scratch/$USER/adapter", "/scratch/ada/adapter", id="name"),
        pytest.param("/scratch/${USER}_x", "/scratch/ada_x", id="braces"),
        pytest.param("$WORK/adapter", "/work/ada/adapter", id="another-name"),
        pytest.param("/a$/b", "/a$/b", id="a-dollar-alone"),
    ],
)
def test_a_state_folder_is_the_user_s_own(place: Place, text: str, folder: str) -> None:
    place.write(place.site, f"state_dir: {text}\n")
    assert state_dir({**place.environ, "USER": "ada", "WORK": "/work/ada"}) == Path(folder)


def test_the_user_s_name_is_known_where_the_environment_lacks_it(place: Place) -> None:
    place.write(place.site, "state_dir: /scratch/$USER\n")
    assert state_dir(place.environ) == Path("/scratch") / getpass.getuser()


def test_the_home_of_a_state_folder_is_the_user_s(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    place.write(place.site, "state_dir: ~/state\n")
    assert state_dir(place.environ) == Path("/home/ada/state")


def test_a_name_that_is_not_set_is_an_error_at_its_place(place: Place) -> None:
    site = place.write(place.site, "state_dir: $NOWHERE/x\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(place.environ)
    assert str(caught.value) == f"{site}:1:12: state_dir: $NOWHERE is not set in the environment"


def test_a_mistake_in_the_site_s_file_is_told_with_the_file(place: Place) -> None:
    site = place.write(place.site, "login_node: [x]\n")
    with pytest.raises(ConfigError, match="did you mean 'login_nodes'") as caught:
        load_settings(place.environ)
    assert str(caught.value).startswith(f"{site}:1:1:")


GUARD = "login_nodes: ['login*', '*.gate.example.org']\n"


@pytest.mark.parametrize(
    ("backend", "machine", "is_refused"),
    [
        pytest.param("local", "login1", True, id="local"),
        pytest.param("local", "login1.example.org", True, id="local-by-its-whole-name"),
        pytest.param("local", "LOGIN2", True, id="capital-letters"),
        pytest.param("local", "a.gate.example.org", True, id="a-pattern-of-the-whole-name"),
        pytest.param("local", "node17", False, id="inside-a-job"),
        pytest.param("docker", "login1", True, id="containers-of-this-machine"),
        pytest.param("podman", "login1", True, id="podman"),
        pytest.param("at", "login1", True, id="at"),
        pytest.param("task-spooler", "login1", True, id="a-queue-of-one-machine"),
        pytest.param("slurm", "login1", False, id="a-scheduler"),
        pytest.param("kubernetes", "login1", False, id="a-service"),
    ],
)
def test_a_login_node_runs_no_jobs_itself(place: Place, backend: str, machine: str, is_refused: bool) -> None:
    site = place.write(place.site, GUARD)
    place.write_own("login_nodes: []\n")  # nobody takes the guard away
    settings = load_settings(place.environ)
    if not is_refused:
        refuse_on_login_node(shipped(backend), settings, machine)
        return
    with pytest.raises(
        ConfigError, match=r"with --on NAME \(`adapter backends list`\), or run adapter inside a job"
    ) as no:
        refuse_on_login_node(shipped(backend), settings, machine)
    assert f"backend {backend} runs jobs on {machine} itself" in str(no.value)
    assert f"(login_nodes in {site})" in str(no.value)


def test_a_login_node_is_guarded_from_afar_too(place: Place) -> None:
    place.write(place.site, GUARD)
    settings = load_settings(place.environ)
    with pytest.raises(ConfigError, match=r"runs jobs on login1\.example\.org itself"):
        refuse_on_login_node(shipped("ssh-process", connection={"host": "login1.example.org"}), settings, "laptop")
    refuse_on_login_node(shipped("ssh-process", connection={"host": "bigbox"}), settings, "login1")


def test_without_a_guard_everything_runs_here() -> None:
    refuse_on_login_node(shipped("local"), load_settings({"XDG_CONFIG_DIRS": "/nowhere"}), "login1")
