"""``adapter clean`` and ``adapter check`` on a far login node, as an ordinary user there."""

from __future__ import annotations

import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Shell
from tests.live.ssh_site import USER, as_user, ssh_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.ssh_site import SshSite


@pytest.fixture(scope="module")
def site() -> SshSite:
    return ssh_site()


@pytest.fixture
def place() -> Iterator[str]:
    """A folder of this test's own below the far user's home."""
    folder = f".adapter-live-tests/clean-{secrets.token_hex(4)}"
    yield folder
    as_user(USER, f"chmod -R u+w {folder}; rm -rf {folder}")


@pytest.fixture
def far(tmp_path: Path, site: SshSite, place: str) -> Shell:
    """``adapter`` with an empty home, and a backend file ``far.yaml`` in its folder."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (work / "far.yaml").write_text(
        f"format: 1\nname: far\nextends: slurm\nworkspace: ~/{place}/workspace\n"
        f"limits: {{poll_seconds: [0.3, 1]}}\nconnection: {{kind: ssh, host: target, config: {site.config}}}\n"
    )
    own = {"HOME": str(home), "ADAPTER_STATE": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(home / ".config")}
    return Shell(work, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own})


def told(far: Shell, *words: str) -> tuple[int, dict[str, Any]]:
    done = far(*words, "--json")
    assert done.stdout, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, data


def listing(folder: str) -> list[str]:
    return sorted(as_user(USER, f"cd {folder} && find . -mindepth 1").stdout.splitlines())


def name_of(names: list[str], end: str) -> str:
    (name,) = [name for name in names if name.endswith(end)]
    return name


def test_finished_runs_are_cleaned_and_nothing_outside_the_workspace(far: Shell, place: str) -> None:
    as_user(USER, f"umask 077; mkdir -p {place}/precious/below && echo data >{place}/precious/below/data")
    (far.folder / "input").write_text(secrets.token_hex(20))
    outside = f"$HOME/{place}/precious"
    good = far(
        "run", "--on", "./far.yaml", "--input", "input", "--", "sh", "-c",
        f"ln -s {outside} folder; ln -s {outside}/below/data file; ln -s {outside}/none dangling; cat input",
    )  # fmt: skip
    assert good.returncode == 0, good.stderr
    bad = far("run", "--on", "./far.yaml", "--", "false")
    assert bad.returncode == 1, bad.stderr
    before = listing(f"{place}/workspace")
    assert any(re.search(r"/\.files/store/[0-9a-f]{64}$", name) for name in before)

    code, dry = told(far, "clean", "--all-finished", "--store")
    assert (code, dry["dry_run"], [each["result"] for each in dry["folders"]]) == (0, True, ["found"])
    assert dry["folders"][0]["size_bytes"] > 0
    assert listing(f"{place}/workspace") == before

    code, done = told(far, "clean", "--all-finished", "--store", "--yes")
    assert (code, [each["result"] for each in done["folders"]]) == (0, ["removed"])
    assert [each["result"] for each in done["store"]] == ["removed"]
    (run,) = [each["run"] for each in done["folders"]]
    left = listing(f"{place}/workspace")
    assert not any(run in name for name in left)
    assert any(name.endswith("-false") for name in left)
    (kept,) = [name for name in left if re.search(r"[0-9a-f]{64}", name)]
    wrapper = as_user(USER, f"cd {place}/workspace && cmp {kept} {name_of(left, '-false')}/wrapper.sh").returncode
    assert wrapper == 0, "what stays is the library of the job that is still there"
    assert listing(f"{place}/precious") == ["./below", "./below/data"]

    code, done = told(far, "clean", "--all-finished", "--failed", "--yes")
    assert (code, [each["result"] for each in done["folders"]]) == (0, ["removed"])
    assert not any("-false" in name for name in listing(f"{place}/workspace"))


def test_what_the_far_user_may_not_remove_is_said(far: Shell, place: str) -> None:
    far("run", "--on", "./far.yaml", "--", "sh", "-c", "mkdir shut && touch shut/file && chmod 500 shut")
    code, done = told(far, "clean", "--all-finished", "--yes")
    assert (code, [each["result"] for each in done["folders"]]) == (5, ["failed"])
    assert "Permission denied" in done["folders"][0]["text"]
    as_user(USER, f"chmod -R u+w {place}")
    code, done = told(far, "clean", "--all-finished", "--yes")
    assert (code, [each["result"] for each in done["folders"]]) == (0, ["removed"])


def test_a_run_folder_that_became_a_link_is_refused(far: Shell, place: str) -> None:
    far("run", "--on", "./far.yaml", "--", "true")
    moved = f"cd {place} && mkdir moved && mv workspace/??????????/ moved/run && ln -s ../moved/run"
    (run,) = [each["run"] for each in json.loads(far("status", "--json").stdout)]
    assert as_user(USER, f"{moved} workspace/{run}").returncode == 0
    code, done = told(far, "clean", run, "--yes")
    assert (code, [each["result"] for each in done["folders"]]) == (5, ["refused"])
    assert any(name.endswith("-true") for name in listing(f"{place}/moved/run"))


def rows(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["status"], row["found"]) for row in data["rows"]}


def test_the_login_node_is_well_and_nothing_is_left_there(far: Shell, place: str) -> None:
    code, data = told(far, "check", "./far.yaml", "--no-jobs")
    found = rows(data)
    assert (code, data["usable"]) == (0, True), found
    assert {status for status, _ in found.values()} == {"ok"}
    assert re.fullmatch(r"\d+(\.\d+)+", found["scheduler version"][1])
    assert found["workspace"][1].endswith(f"/{place}/workspace")
    assert found["file transfer"][0] == "ok"
    assert [name for name in listing(f"{place}/workspace") if not re.match(r"\./\.files(/store)?$", name)] == []


@pytest.fixture
def noise() -> Iterator[str]:
    """A first line of the far user's .bashrc that talks; only that line is taken out again: others may edit it too."""
    mark = f"adapter-noise-{secrets.token_hex(4)}"
    line = f"echo loud; printf shrill >\\&2 # {mark}"
    assert as_user(USER, f"touch .bashrc && sed -i '1i {line}' .bashrc && grep -q {mark} .bashrc").returncode == 0
    yield mark
    assert as_user(USER, f"sed -i '/{mark}$/d' .bashrc && ! grep -q {mark} .bashrc").returncode == 0


def test_noise_of_the_login_node_s_shell_is_measured(far: Shell, noise: str) -> None:
    code, data = told(far, "check", "./far.yaml", "--no-jobs")
    assert code == 0
    status, found = rows(data)["shell noise without login_shell"]
    assert (status, found) == (
        "note", "stdout: 5 bytes, first line 'loud'; stderr: 6 bytes, first line 'shrill'"
    )  # fmt: skip
    assert rows(data)["program sbatch"][0] == "ok"
    assert rows(data)["clock"][0] == "ok"
    # The login shell runs before the server's own file server: what it prints breaks SFTP, and files travel as text.
    assert rows(data)["file transfer"][0] == "ok"


def test_a_host_that_does_not_let_us_in_is_one_row(far: Shell) -> None:
    text = (far.folder / "far.yaml").read_text()
    (far.folder / "far.yaml").write_text(text.replace("host: target,", "host: unknownkey,"))
    code, data = told(far, "check", "./far.yaml", "--no-jobs")
    assert (code, [row["name"] for row in data["rows"]]) == (5, ["connection"])
    assert "host key" in data["rows"][0]["found"]
