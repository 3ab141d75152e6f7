"""What the current folder brings is used only if its user allowed exactly this content."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.config.load import automatic_backends, list_backends, load_backend
from adapter.config.trust import absolute, allow, everything_allowed, fingerprint, revoke
from adapter.errors import ConfigError, NotTrusted
from tests.config.test_load import COMPLETE, put

Environ = dict[str, str]


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    return {"ADAPTER_STATE": str(tmp_path / "state")}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def trust(file: Path, environ: Environ) -> None:
    allow(absolute(file), fingerprint(file.read_bytes()), environ)


def test_a_file_of_the_current_folder_is_not_used_before_it_was_allowed(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "mine.yaml", COMPLETE)
    with pytest.raises(NotTrusted) as caught:
        load_backend("mine", environ=environ, cwd=here)
    assert str(caught.value) == (
        ".adapter/mine.yaml: is not trusted: it would run commands as you; read it, then allow it: "
        "adapter trust .adapter/mine.yaml"
    )
    assert caught.value.exit_code == 2
    trust(here / ".adapter" / "mine.yaml", environ)
    assert load_backend("mine", environ=environ, cwd=here).backend.name == "mine"


def test_a_changed_file_must_be_allowed_anew(here: Path, environ: Environ) -> None:
    file = here / ".adapter" / "mine.yaml"
    put(file.parent, file.name, COMPLETE)
    trust(file, environ)
    file.write_text(COMPLETE + "summary: other\n")
    with pytest.raises(NotTrusted, match=r"mine\.yaml: has changed since it was trusted: "):
        load_backend("mine", environ=environ, cwd=here)
    trust(file, environ)
    assert load_backend("mine", environ=environ, cwd=here).backend.summary == "other"
    file.write_text(COMPLETE)
    with pytest.raises(NotTrusted):  # what was allowed before is allowed no longer
        load_backend("mine", environ=environ, cwd=here)


def test_what_was_revoked_is_not_used(here: Path, environ: Environ) -> None:
    file = here / ".adapter" / "mine.yaml"
    put(file.parent, file.name, COMPLETE)
    trust(file, environ)
    assert revoke(absolute(file), environ)
    assert not revoke(absolute(file), environ)
    with pytest.raises(NotTrusted):
        load_backend("mine", environ=environ, cwd=here)


def test_the_same_content_elsewhere_is_not_trusted(here: Path, tmp_path: Path, environ: Environ) -> None:
    put(here / ".adapter", "mine.yaml", COMPLETE)
    trust(here / ".adapter" / "mine.yaml", environ)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / ".adapter").symlink_to(here / ".adapter")
    with pytest.raises(NotTrusted):
        load_backend("mine", environ=environ, cwd=foreign)


def test_it_may_not_replace_a_shipped_name_or_ones_own_in_silence(
    here: Path, environ: Environ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    put(tmp_path / "config" / "adapter" / "backends", "own.yaml", COMPLETE)
    put(here / ".adapter", "own.yaml", COMPLETE)
    put(here / ".adapter", "local.yaml", COMPLETE)
    with pytest.raises(NotTrusted, match=r"it stands before /.*/templates/local\.yaml"):
        load_backend("local", environ=environ, cwd=here)
    with pytest.raises(NotTrusted, match=r"it stands before /.*/adapter/backends/own\.yaml"):
        load_backend("own", environ=environ, cwd=here)


def test_what_a_file_extends_from_the_current_folder_must_be_allowed_too(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "batch.yaml", COMPLETE)
    with pytest.raises(NotTrusted, match=r"^\.adapter/batch\.yaml: is not trusted \(it stands before /"):
        load_backend("slurm", environ=environ, cwd=here)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        pytest.param("extends: ../shared/base.yaml", "shared/base.yaml", id="a path out of .adapter"),
        pytest.param("extends: base", ".adapter/base.yaml", id="a name"),
        pytest.param("extends: ./base.yaml", ".adapter/base.yaml", id="a path beside it"),
    ],
)
def test_one_allowed_file_does_not_allow_another(here: Path, environ: Environ, text: str, other: str) -> None:
    put((here / other).parent, "base.yaml", COMPLETE)
    put(here / ".adapter", "mine.yaml", f"format: 1\n{text}\n")
    trust(here / ".adapter" / "mine.yaml", environ)
    with pytest.raises(NotTrusted, match=r"base\.yaml: is not trusted"):
        load_backend("mine", environ=environ, cwd=here)
    trust(here / other, environ)
    assert load_backend("mine", environ=environ, cwd=here).backend.name == "mine"


def test_a_file_that_its_user_names_is_used_and_what_it_takes_from_the_folder_is_not(
    here: Path, environ: Environ
) -> None:
    put(here, "named.yaml", COMPLETE)
    assert load_backend("./named.yaml", environ=environ, cwd=here).backend.name == "named"
    put(here / ".adapter", "base.yaml", COMPLETE)
    for extends in ("base", "./.adapter/base.yaml"):
        put(here, "named.yaml", f"format: 1\nextends: {extends}\n")
        with pytest.raises(NotTrusted, match=r"\.adapter/base\.yaml: is not trusted"):
            load_backend("./named.yaml", environ=environ, cwd=here)


def test_a_link_to_the_folder_does_not_lead_around(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "base.yaml", COMPLETE)
    (here / "link.yaml").symlink_to(here / ".adapter" / "base.yaml")
    put(here, "named.yaml", "format: 1\nextends: ./link.yaml\n")
    with pytest.raises(NotTrusted):
        load_backend("./named.yaml", environ=environ, cwd=here)


def test_a_relative_folder_on_the_path_is_guarded_and_an_absolute_one_is_not(here: Path, environ: Environ) -> None:
    put(here / "site", "mine.yaml", COMPLETE)
    with pytest.raises(NotTrusted, match=r"^site/mine\.yaml: "):
        load_backend("mine", environ={**environ, "ADAPTER_PATH": "site"}, cwd=here)
    assert load_backend("mine", environ={**environ, "ADAPTER_PATH": str(here / "site")}, cwd=here)


def test_a_program_may_take_the_folder_as_it_is(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "mine.yaml", COMPLETE)
    assert load_backend("mine", environ=environ, cwd=here, trust=True).backend.name == "mine"


def test_a_probe_of_the_current_folder_is_not_offered(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "evil.yaml", COMPLETE + "automatic: {for: images, rank: 0, probe: touch seen}\n")
    with pytest.raises(NotTrusted, match=r"evil\.yaml: is not trusted"):
        automatic_backends(environ=environ, cwd=here)
    put(here / ".adapter", "evil.yaml", COMPLETE + "# automatic\n")
    assert "evil" not in [backend.name for backend in automatic_backends(environ=environ, cwd=here)]


def test_the_list_says_what_is_not_trusted(here: Path, environ: Environ) -> None:
    put(here / ".adapter", "mine.yaml", COMPLETE)
    entries = {entry.name: entry.trusted for entry in list_backends(environ=environ, cwd=here)}
    assert (entries["mine"], entries["local"]) == (False, True)


def test_the_hashes_are_for_their_owner_alone(here: Path, environ: Environ, tmp_path: Path) -> None:
    file = here / ".adapter" / "mine.yaml"
    put(file.parent, file.name, COMPLETE)
    trust(file, environ)
    state = tmp_path / "state"
    modes = {path.stat().st_mode & 0o777 for path in [state, *state.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in state.rglob("*") if path.is_file()} == {0o600}
    assert [one.path for one in everything_allowed(environ)] == [file]


@pytest.mark.parametrize("which", ["folder", "file"])
def test_hashes_that_others_may_write_are_not_believed(
    here: Path, environ: Environ, tmp_path: Path, which: str
) -> None:
    file = here / ".adapter" / "mine.yaml"
    put(file.parent, file.name, COMPLETE)
    trust(file, environ)
    [record] = (tmp_path / "state" / "trust").iterdir()
    (record if which == "file" else record.parent).chmod(0o777)
    with pytest.raises(ConfigError, match="may be written by others, and says which files to trust"):
        load_backend("mine", environ=environ, cwd=here)


def test_a_state_folder_that_the_current_folder_brings_is_not_believed(here: Path) -> None:
    put(here / ".adapter", "mine.yaml", COMPLETE)
    with pytest.raises(ConfigError, match=r"\$ADAPTER_STATE is \.state: .* give an absolute path"):
        load_backend("mine", environ={"ADAPTER_STATE": ".state"}, cwd=here)
