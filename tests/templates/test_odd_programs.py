"""The query commands of every shipped backend, run by sh with programs that print what nobody can read, or half of it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from adapter.config.load import load_backend
from adapter.core.parse import parse_tokens
from adapter.core.render import function_text, render_command
from adapter.errors import CompletedCommand
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
IDS = {"local": "7.1", "at": "7", "pbs": "7.vm", "torque": "7.vm"}


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
    values = {**backend.values, "workspace": str(folder), "job_ids": ["7"], "job_id": "7", "next": None, "run": "c7kq2m9xdt"}
    command = render_command(spec, {**values, "job_directory": str(folder), "tokens": [TOKEN]})
    functions = "".join(f"{function_text(key, body.render(backend.values))}\n" for key, body in backend.functions.items())
    done = subprocess.run(
        ["sh", "-c", functions + command],
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return CompletedCommand(command=command, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def all_say(backend: Backend, text: str) -> dict[str, str]:
    tools = {"awk", "sed", "setsid"}
    return {name: f"cat <<'END'\n{text}END" for name in backend.needs if name not in tools}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", [name for name in shipped_with("find")])
def test_a_look_for_jobs_that_brings_what_nobody_can_read_is_no_answer(name: str, text: str, tmp_path: Path) -> None:
    backend = backend_of(name)
    assert backend.find is not None
    completed = answer(backend, backend.find, all_say(backend, text), tmp_path)
    assert parse_tokens(backend.find, backend, completed) is None


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", [name for name in shipped_with("monitor")])
def test_a_poll_that_brings_what_nobody_can_read_is_no_answer(name: str, text: str, tmp_path: Path) -> None:
    backend = backend_of(name)
    completed = answer(backend, backend.monitor, all_say(backend, text), tmp_path)
    assert not poll(backend, completed, [IDS.get(name, "7")])["7" if name not in IDS else IDS[name]].answered


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", [name for name in shipped_with("monitor") if backend_of(name).monitor.takes_many])
def test_a_poll_by_id_with_nothing_but_words_on_standard_error_is_no_answer(
    name: str, text: str, tmp_path: Path
) -> None:
    backend = backend_of(name)
    programs = {key: f"{{\n{text}\n}} >&2" for key, text in all_say(backend, text).items()}
    completed = answer(backend, backend.monitor, programs, tmp_path)
    assert not poll(backend, completed, [IDS.get(name, "7")])[IDS.get(name, "7")].answered


HISTORY_OFF = """
case " $* " in
    *" -x "*) echo "$(basename "$0"): PBS is not configured to maintain job history" >&2; exit 0 ;;
esac
"""


def test_pbs_is_asked_without_the_history_that_a_server_does_not_keep(tmp_path: Path) -> None:
    backend = backend_of("pbs")
    qstat = HISTORY_OFF + "echo 'Job Id: 7.vm|job_state=R|queue=workq'"
    completed = answer(backend, backend.monitor, {"qstat": qstat}, tmp_path)
    seen = poll(backend, completed, ["7.vm", "8.vm"])
    assert seen["7.vm"].observation is not None
    assert str(seen["7.vm"].observation.state) == "running"
    assert seen["8.vm"].answered
    assert seen["8.vm"].observation is None


def test_pbs_finds_a_job_on_a_server_without_a_history(tmp_path: Path) -> None:
    backend = backend_of("pbs")
    assert backend.find is not None
    completed = answer(backend, backend.find, {"qselect": HISTORY_OFF + "echo 7.vm"}, tmp_path)
    assert parse_tokens(backend.find, backend, completed) == ({TOKEN: "7.vm"}, None)


def test_pbs_that_has_no_job_of_that_name_is_a_good_answer(tmp_path: Path) -> None:
    backend = backend_of("pbs")
    assert backend.find is not None
    completed = answer(backend, backend.find, {"qselect": ":"}, tmp_path)
    assert parse_tokens(backend.find, backend, completed) == ({}, None)


def test_an_id_of_pbs_that_breaks_off_is_not_taken_for_another(tmp_path: Path) -> None:
    backend = backend_of("pbs")
    assert backend.find is not None
    completed = answer(backend, backend.find, {"qselect": "printf 7.v"}, tmp_path)
    assert parse_tokens(backend.find, backend, completed) is None


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
    backend = backend_of("sge")
    assert backend.find is not None
    programs = all_say(backend, XML.format(token=TOKEN))
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, programs, tmp_path)) == ({TOKEN: "12"}, None)
    seen = poll(backend, answer(backend, backend.monitor, programs, tmp_path), ["12"])["12"].observation
    assert seen is not None
    assert str(seen.state) == "running"


def test_grid_engine_without_jobs_is_a_good_answer(tmp_path: Path) -> None:
    backend = backend_of("sge")
    assert backend.find is not None
    empty = "<?xml version='1.0'?>\n<job_info>\n  <queue_info>\n  </queue_info>\n  <job_info>\n  </job_info>\n</job_info>\n"
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, all_say(backend, empty), tmp_path)) == ({}, None)
    assert poll(backend, answer(backend, backend.monitor, all_say(backend, empty), tmp_path), ["12"])["12"].answered


def test_grid_engine_s_xml_that_breaks_off_is_no_answer(tmp_path: Path) -> None:
    backend = backend_of("sge")
    assert backend.find is not None
    half = XML.format(token=TOKEN).partition("      <state>")[0]
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, all_say(backend, half), tmp_path)) is None
    assert not poll(backend, answer(backend, backend.monitor, all_say(backend, half), tmp_path), ["12"])["12"].answered


def test_moab_without_jobs_is_a_good_answer(tmp_path: Path) -> None:
    backend = backend_of("moab")
    assert backend.find is not None
    empty = '<Data><Object>queue</Object><cluster time="1"></cluster><queue count="0" option="active"></queue></Data>\n'
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, all_say(backend, empty), tmp_path)) == ({}, None)
    assert poll(backend, answer(backend, backend.monitor, all_say(backend, empty), tmp_path), ["Moab.1"])["Moab.1"].answered


def test_task_spooler_without_jobs_is_a_good_answer(tmp_path: Path) -> None:
    backend = backend_of("task-spooler")
    assert backend.find is not None
    empty = "ID   State      Output               E-Level  Times(r/u/s)   Command [run=0/1]\n"
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, all_say(backend, empty), tmp_path)) == ({}, None)
    assert poll(backend, answer(backend, backend.monitor, all_say(backend, empty), tmp_path), ["7"])["7"].answered


def test_pjm_without_jobs_is_a_good_answer(tmp_path: Path) -> None:
    backend = backend_of("pjm")
    assert backend.find is not None
    empty = (
        "\n  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL\n"
        "       0      0      0      0      0      0      0      0      0       0\n"
        "s      0      0      0      0      0      0      0      0      0       0\n\n"
    )
    assert parse_tokens(backend.find, backend, answer(backend, backend.find, all_say(backend, empty), tmp_path)) == ({}, None)
    assert poll(backend, answer(backend, backend.monitor, all_say(backend, empty), tmp_path), ["7"])["7"].answered
