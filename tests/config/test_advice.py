"""What is no mistake and is probably not meant: warnings of ``adapter validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapter.config.load import advice_for_file, validate_file
from adapter.config.tasks import advice_for_tasks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        pytest.param("extends: slurm\nvalues: {account: m1, qos: x}\nname: cluster\n", [
            "cluster.yaml:3:23: the value 'qos' is used by no template; it is misspelt, or can go",
        ], id="a-value-nobody-uses"),
        pytest.param("extends: slurm\nvalues: {image: 'docker://a'}\nimages: {docker: '{{ name }}'}\n", [],
                     id="a-value-that-every-task-gets"),
        pytest.param("extends: slurm\nname: perlmutter\n", [
            "cluster.yaml:3:7: the name is 'perlmutter', and the file is found as 'cluster' (--on cluster); "
            "give both the same",
        ], id="another-name"),
        pytest.param(
            "extends: slurm\ndefaults: {ram: 8 GiB, walltime: 3h, cpu: 2}\n"
            "queues: [{name: a, max: {ram: 4 GiB, walltime: 4h}}, {name: b, max: {ram: 2 GiB, walltime: 1h}}]\n", [
                "cluster.yaml:3:17: defaults.ram is 8.0 GiB, and no queue allows more than 4.0 GiB: "
                "a task that asks for no ram is refused",
            ], id="defaults-over-every-queue"),
        pytest.param("extends: slurm\ndefaults: {ram: 8 GiB}\n"
                     "queues: [{name: a, max: {ram: 4 GiB}}, {name: b}]\n", [], id="one-queue-without-a-cap"),
        pytest.param("extends: slurm\ndefaults: {ram: 8 GiB}\n"
                     "queues: [{name: a, max: {ram: 4 GiB}, over: clamp}]\n", [], id="a-queue-that-lowers"),
        pytest.param("extends: slurm\nkill: {command: './bin/end {{ job_ids | words }}'}\n"
                     "monitor: {command: 'true && ./look; \"$HOME\"/../x --jobs={{ job_ids | join(\",\") }}'}\n", [
            "cluster.yaml:4:29: monitor.command runs ./look, and nothing is sent to where commands start; "
            "write its whole path on the target",
            "cluster.yaml:3:18: kill.command runs ./bin/end, and nothing is sent to where commands start; "
            "write its whole path on the target",
        ], id="a-program-beside-the-file"),
        pytest.param("extends: slurm\nkill: {command: 'cd /opt/x && ./end {{ job_ids | words }}'}\n", [], id="moved"),
        pytest.param("extends: batch\nabstract: true\nvalues: {for_children: 1}\n", [], id="values-of-a-parent"),
    ],
)  # fmt: skip
def test_what_is_odd_in_a_backend_file_is_told_at_its_place(text: str, warnings: list[str], tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("format: 1\n" + text)
    assert validate_file("cluster.yaml", cwd=tmp_path, environ={}) == []
    assert [str(one) for one in advice_for_file("cluster.yaml", cwd=tmp_path, environ={})] == warnings


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        pytest.param("ada@login1", "a user, too; write host: login1 and user: ada", id="user-and-host"),
        pytest.param("@login1", "a user, too; write host: login1 and user: USER", id="no-user"),
        pytest.param("login1:2222", "a port, too; write host: login1 and port: 2222", id="port"),
        pytest.param("[::1]:22", "a port, too; write host: ::1 and port: 22", id="port-of-an-address"),
        pytest.param(
            "ssh://ada@login1:22", "a user and a port, too; write host: login1, user: ada and port: 22", id="all"
        ),
        pytest.param("ssh://login1", "how it is reached, too; write host: login1", id="scheme"),
    ],
)
def test_a_host_with_a_user_or_a_port_is_refused_with_the_keys_for_them(host: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"format: 1\nextends: slurm\nconnection: {{kind: ssh, host: '{host}'}}\n")
    (problem,) = validate_file("c.yaml", cwd=tmp_path, environ={})
    assert str(problem) == f"c.yaml:3:31: connection.host names {advice}"


def test_an_address_of_many_colons_is_a_host(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("format: 1\nextends: slurm\nconnection: {kind: ssh, host: '2001:db8::22'}\n")
    assert validate_file("c.yaml", cwd=tmp_path, environ={}) == []


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        pytest.param("command: echo {{ name }}\noutputs: [{path: 'x*', to: '{{ index }}'}, '{{name}}.txt']\n", [
            "tasks.yaml:1:10: {{ name }} stays as it is here: it is filled in only in `to` of outputs",
            "tasks.yaml:2:10: {{name}} stays as it is here: it is filled in only in `to` of outputs",
        ], id="a-name-that-is-not-filled-in"),
        pytest.param("command: ./run.sh --fast\n", [
            "tasks.yaml:1:10: ./run.sh lies here and is not sent to the job: add it to `inputs`",
        ], id="shell"),
        pytest.param("command: [python, ./run.sh]\n", [
            "tasks.yaml:1:10: ./run.sh lies here and is not sent to the job: add it to `inputs`",
        ], id="words"),
        pytest.param("tasks:\n- steps: ['true', {shell: 'cat <./data/in.txt'}]\n", [
            "tasks.yaml:2:19: ./data/in.txt lies here and is not sent to the job: add it to `inputs`",
        ], id="a-later-step"),
        pytest.param("defaults: {command: ./run.sh}\ntasks: [{name: a}, {name: b}]\n", [
            "tasks.yaml:1:21: ./run.sh lies here and is not sent to the job: add it to `inputs`",
        ], id="said-once-for-the-defaults"),
        pytest.param("command: ./run.sh\ninputs: [run.sh]\n", [], id="sent"),
        pytest.param("command: cat ./data/in.txt\ninputs: [data]\n", [], id="its-folder-is-sent"),
        pytest.param("command: ./other.sh\n", [], id="not-here"),
        pytest.param("command: ./run.sh\nworkdir: /home/me\n", [], id="it-runs-where-the-file-may-be"),
        pytest.param("command: ls\nworkdir: ~/x\n", [
            "tasks.yaml:2:10: workdir '~/x' is understood on this machine only; for another one, write the whole path",
        ], id="workdir"),
        pytest.param("command: ls\nworkdir: /scratch/$USER\n", [
            "tasks.yaml:2:10: workdir '/scratch/$USER' is understood on this machine only; for another one, "
            "write the whole path",
        ], id="workdir-with-a-name"),
    ],
)  # fmt: skip
def test_what_is_odd_in_a_task_file_is_told_at_its_place(text: str, warnings: list[str], tmp_path: Path) -> None:
    (tmp_path / "run.sh").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.txt").touch()
    (tmp_path / "tasks.yaml").write_text(text)
    assert [str(one) for one in advice_for_tasks("tasks.yaml", cwd=tmp_path)] == warnings
