"""The query commands of the shipped backends, run by sh with programs that print what nobody can read, or half."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from adapter.config.library import library
from adapter.config.load import load_backend
from adapter.core.answers import parse_tokens
from adapter.core.library import commands_text
from adapter.core.render import render_command
from adapter.results import CompletedCommand
from adapter.testkit.replay import poll

if TYPE_CHECKING:
    from adapter.core.backend import Backend
    from adapter.core.specs import QuerySpec

TEMPLATES = Path(__file__).parents[2] / "templates"
TOKEN = "adapter-c7kq2m9xdt-1-1"
TEXTS = {
    "html": "<html><head><title>Sign in</title></head>\n<body>please sign in</body></html>\n",
    "another language": "Die Auftragsliste ist zur Zeit nicht verfuegbar.\n",
    "an error text": "internal failure: no listing at this time\n",
}
OWN_PROCESSES = {"local", "ssh-process", "docker", "podman"}  # there is no scheduler to ask


@cache
def backend_of(name: str) -> Backend:
    return load_backend(name).backend


def shipped_with(*keys: str) -> list[str]:
    concrete = [
        path.stem
        for path in sorted(TEMPLATES.glob("*.yaml"))
        if not yaml.safe_load(path.read_text(encoding="utf-8")).get("abstract") and path.stem not in OWN_PROCESSES
    ]
    return [name for name in concrete if all(backend_of(name).document.get(key) for key in keys)]


def answer(backend: Backend, spec: QuerySpec, programs: dict[str, str], folder: Path) -> CompletedCommand:
    """Return what the command of *spec* says where each of *programs* is the shell text given."""
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    about = {"job_ids": ["7"], "job_id": "7", "run": "c7kq2m9xdt", "tokens": [TOKEN], "next": None, "qualifier": None}
    places = {"workspace": str(folder), "job_directory": str(folder)}
    command = render_command(spec, {**backend.values, **about, **places})
    functions = commands_text(backend, [], library())
    done = subprocess.run(
        ["sh", "-c", functions + command],
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return CompletedCommand(command=command, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def all_say(name: str, text: str) -> dict[str, str]:
    """Return a program for each that the backend *name* needs: all print *text* and exit with 0."""
    needs = set(backend_of(name).needs) - {"awk", "sed", "setsid"}
    return dict.fromkeys(needs, f"cat <<'END'\n{text}END")


def looked(name: str, programs: dict[str, str], folder: Path) -> tuple[dict[str, list[str]], str | None] | None:
    backend = backend_of(name)
    assert backend.find is not None
    return parse_tokens(backend.find, backend, answer(backend, backend.find, programs, folder), wanted=[TOKEN])


def polled(name: str, programs: dict[str, str], folder: Path, *ids: str) -> list[str]:
    """Return the state of each of *ids*: ``absent`` for one that is not there, ``untold`` without an answer."""
    backend = backend_of(name)
    told = poll(backend, answer(backend, backend.monitor, programs, folder), ids)
    states = {one: each.observation.state if each.observation else None for one, each in told.items()}
    return [str(states[one] or ("absent" if told[one].answered else "untold")) for one in ids]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", shipped_with("find"))
def test_a_look_for_jobs_that_brings_what_nobody_can_read_is_no_answer(name: str, text: str, tmp_path: Path) -> None:
    assert looked(name, all_say(name, text), tmp_path) is None


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", shipped_with("monitor"))
def test_a_poll_that_brings_what_nobody_can_read_is_no_answer(name: str, text: str, tmp_path: Path) -> None:
    assert polled(name, all_say(name, text), tmp_path, "7") == ["untold"]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", [name for name in shipped_with("monitor") if backend_of(name).monitor.takes_many])
def test_a_poll_by_id_with_words_on_standard_error_alone_is_no_answer(name: str, text: str, tmp_path: Path) -> None:
    programs = {key: f"{{\n{said}\n}} >&2" for key, said in all_say(name, text).items()}
    assert polled(name, programs, tmp_path, "7") == ["untold"]


HISTORY_OFF = """
case " $* " in
    *" -x "*) echo "$(basename "$0"): PBS is not configured to maintain job history" >&2; exit 0 ;;
esac
"""


def test_pbs_is_asked_without_the_history_that_a_server_does_not_keep(tmp_path: Path) -> None:
    qstat = HISTORY_OFF + "echo 'Job Id: 7.vm|job_state=R|queue=workq'"
    assert polled("pbs", {"qstat": qstat}, tmp_path, "7.vm", "8.vm") == ["running", "absent"]


def test_pbs_finds_a_job_on_a_server_without_a_history(tmp_path: Path) -> None:
    assert looked("pbs", {"qselect": HISTORY_OFF + "echo 7.vm"}, tmp_path) == ({TOKEN: ["7.vm"]}, None)


@pytest.mark.parametrize("name", ["pbs", "torque"])
def test_an_id_that_breaks_off_is_not_taken_for_another(name: str, tmp_path: Path) -> None:
    assert looked(name, {"qselect": "printf 7.v"}, tmp_path) is None


XML = """<?xml version='1.0'?>
<job_info>
  <queue_info>
    <job_list state="running">
      <JB_job_number>12</JB_job_number>
      <full_job_name>{token}</full_job_name>
      <state>r</state>
    </job_list>
  </queue_info>
  <job_info>
  </job_info>
</job_info>
"""


def test_grid_engine_s_xml_is_read(tmp_path: Path) -> None:
    programs = all_say("sge", XML.format(token=TOKEN))
    assert looked("sge", programs, tmp_path) == ({TOKEN: ["12"]}, None)
    assert polled("sge", programs, tmp_path, "12") == ["running"]


def test_grid_engine_s_xml_that_breaks_off_is_no_answer(tmp_path: Path) -> None:
    programs = all_say("sge", XML.format(token=TOKEN).partition("      <state>")[0])
    assert looked("sge", programs, tmp_path) is None
    assert polled("sge", programs, tmp_path, "12") == ["untold"]


EMPTY = {
    "sge": "<?xml version='1.0'?>\n<job_info>\n<queue_info>\n</queue_info>\n<job_info>\n</job_info>\n</job_info>\n",
    "moab": '<Data><Object>queue</Object><cluster time="1"></cluster><queue option="active"></queue></Data>\n',
    "task-spooler": "ID   State      Output               E-Level  Times(r/u/s)   Command [run=0/1]\n",
    "pjm": (
        "\n  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL\n"
        "       0      0      0      0      0      0      0      0      0       0\n"
        "s      0      0      0      0      0      0      0      0      0       0\n\n"
    ),
    "loadleveler": "llq: There is currently no job status to report.\n",
    "kubernetes": '{"apiVersion": "v1", "items": [], "kind": "List"}\n',
    "at": "",
    "pbs": "",
    "torque": "",
    "slurm": "",
    "flux": "",
    "htcondor": "",
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_listing_without_a_job_is_a_good_answer(name: str, tmp_path: Path) -> None:
    programs = dict.fromkeys(all_say(name, ""), f"cat <<'END'\n{EMPTY[name]}END")
    assert looked(name, programs, tmp_path) == ({}, None)
    assert polled(name, programs, tmp_path, "7") == ["absent"]
