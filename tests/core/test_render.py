from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest

from adapter.core.render import placed, render_command, render_job
from adapter.errors import RenderError, UnsupportedResource

from .samples import job_of, shipped, toy


def directives(task: dict[str, Any], **over: Any) -> list[str]:
    script = render_job(shipped("slurm", **over), job_of({"command": "true", **task}), "/ws").script
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]


ALWAYS = ["--job-name=task", "--comment=adapter-r1-1-1", "--output=/ws/r1/0001-task/scheduler.log"]


def test_a_directive_is_written_only_where_its_value_is_set() -> None:
    assert directives({}) == ALWAYS


@pytest.mark.parametrize(
    ("resources", "lines"),
    [
        pytest.param({"cpu": 1.5}, ["--cpus-per-task=2"], id="cpu-rounds-up"),
        pytest.param({"ram": "1 GB"}, ["--mem=954M"], id="ram-in-mib-rounds-up"),
        pytest.param({"walltime": "36h"}, ["--time=1-12:00:00"], id="walltime"),
        pytest.param({"queue": "a b"}, ["--partition='a b'"], id="quoted"),
        pytest.param({"priority": -5}, ["--nice=5"], id="priority"),
        pytest.param(
            {"nodes": 2, "ranks": 8, "gpu": 1}, ["--gpus=1", "--nodes=2", "--ntasks=8"], id="in-the-order-of-the-file"
        ),
        pytest.param({"gpu": 0}, [], id="no-gpu-is-not-written"),
        pytest.param({"preemptible": False}, [], id="false-is-not-asked-for"),
    ],
)
def test_resources_become_directives(resources: dict[str, Any], lines: list[str]) -> None:
    assert directives({"resources": resources}) == ALWAYS + lines


def test_a_site_s_default_is_asked_for_where_the_task_asks_for_nothing() -> None:
    defaults = {"cpu": 2, "ram": "1 GiB"}
    assert directives({"resources": {"cpu": 4}}, defaults=defaults) == [*ALWAYS, "--cpus-per-task=4", "--mem=1024M"]


def test_a_site_s_value_is_used_where_the_task_sets_none() -> None:
    assert "--account=m1234" in directives({}, values={"account": "m1234"})
    assert "--account=mine" in directives({"resources": {"account": "mine"}}, values={"account": "m1234"})


def test_a_child_removes_a_directive_with_null() -> None:
    assert directives({}, directives={"options": {"token": None}}) == [ALWAYS[0], ALWAYS[2]]


def test_a_line_break_in_a_directive_is_refused() -> None:
    with pytest.raises(RenderError, match="would span lines; a value in it holds a line break"):
        directives({"resources": {"account": "a\n#SBATCH --uid=0"}})


def test_native_options_of_this_backend_and_its_parents_reach_the_directives_quoted() -> None:
    native = {"slurm": ["--exclusive", "--constraint=a b"], "batch": ["--hold"], "lsf": ["-x"]}
    assert directives({"native": native}) == [*ALWAYS, "--hold", "--exclusive", "'--constraint=a b'"]


def test_a_resource_that_the_backend_cannot_ask_for_is_refused_and_named_with_those_it_knows() -> None:
    task = {"command": "true", "name": "t", "resources": {"gpu": 1, "queue": "q"}, "image": "debian"}
    with pytest.raises(UnsupportedResource) as caught:
        render_job(shipped("local"), job_of(task), "/ws")
    assert str(caught.value) == (
        "backend local has no way to ask for gpu, queue, image (task 't'); it knows cpu, ram, ram_limit, walltime"
    )


def test_an_image_of_one_step_alone_is_refused_too() -> None:
    with pytest.raises(UnsupportedResource, match="no way to ask for image"):
        render_job(shipped("slurm"), job_of({"steps": [{"shell": "true", "image": "debian"}]}), "/ws")


def test_more_than_the_whole_capacity_is_refused_with_both_amounts() -> None:
    backend = shipped("local", limits={"capacity": {"ram": "4 GiB"}})
    with pytest.raises(UnsupportedResource, match=r"asks for ram 8\.0 GiB; backend local has 4\.0 GiB in all"):
        render_job(backend, job_of({"command": "true", "resources": {"ram": "8 GiB"}}), "/ws")


QUEUES = [
    {"name": "gpu", "when": "gpu", "max": {"gpu": 4}},
    {"name": "short", "when": "walltime <= 3600", "max": {"cpu": 64}},
    {"name": "batch", "max": {"cpu": 128, "ram": "512 GiB", "walltime": "48h"}},
]


@pytest.mark.parametrize(
    ("resources", "queue"),
    [
        pytest.param({}, "batch", id="nothing-asked-for"),
        pytest.param({"gpu": 2, "walltime": 60}, "gpu", id="the-first-that-fits"),
        pytest.param({"walltime": 3600}, "short", id="condition-holds"),
        pytest.param({"walltime": 3601}, "batch", id="condition-fails"),
        pytest.param({"walltime": 60, "cpu": 65}, "batch", id="over-a-cap-goes-on"),
        pytest.param({"walltime": 7200, "queue": "short"}, "short", id="the-task-s-own-queue-whatever-its-condition"),
        pytest.param({"queue": "secret"}, "secret", id="a-queue-that-the-file-does-not-list"),
    ],
)
def test_the_first_queue_that_fits_is_used(resources: dict[str, Any], queue: str) -> None:
    assert f"--partition={queue}" in directives({"resources": resources}, queues=QUEUES)


def test_over_every_cap_is_an_error_that_names_each_cap() -> None:
    with pytest.raises(UnsupportedResource) as caught:
        directives({"name": "big", "resources": {"cpu": 200, "walltime": 60, "ram": "1024 GiB"}}, queues=QUEUES)
    assert str(caught.value) == (
        "task 'big' fits no queue of backend slurm: queue short allows cpu up to 64, it asks for 200; "
        "queue batch allows cpu up to 128, it asks for 200; queue batch allows ram up to 512.0 GiB, it asks for 1.0 TiB"
    )


def test_its_own_queue_s_cap_holds_for_a_task_that_names_it() -> None:
    with pytest.raises(UnsupportedResource, match="queue short allows cpu up to 64, it asks for 65"):
        directives({"resources": {"cpu": 65, "queue": "short"}}, queues=QUEUES)


def test_a_task_that_no_queue_is_meant_for_is_told_the_conditions() -> None:
    with pytest.raises(UnsupportedResource, match=r"no queue is meant for it \(its conditions: gpu when gpu\)"):
        directives({}, queues=QUEUES[:1])


def test_a_clamping_queue_lowers_what_is_over_its_cap() -> None:
    queues = [{"name": "all", "max": {"cpu": 8, "walltime": "1h"}, "over": "clamp"}]
    lines = directives({"resources": {"cpu": 9, "walltime": "2h"}}, queues=queues)
    assert lines == [*ALWAYS, "--cpus-per-task=8", "--time=01:00:00", "--partition=all"]


def test_options_of_a_command_are_written_where_the_command_says() -> None:
    backend = toy(
        submit={
            "command": "toy-submit {{ options }} {{ script }}",
            "options": {"queue": "-q {{ queue }}", "long": {"when": "walltime > 3600", "text": "--long"}},
        }
    )
    submits = [
        render_job(backend, job_of({"command": "true", "resources": resources}), "/ws").submit
        for resources in ({}, {"queue": "a b"}, {"queue": "q"})
    ]
    assert submits == [
        "toy-submit  /ws/r1/0001-task/script",
        "toy-submit -q 'a b' /ws/r1/0001-task/script",
        "toy-submit -q q /ws/r1/0001-task/script",
    ]


def test_many_ids_travel_in_one_command() -> None:
    backend = shipped("slurm")
    values = {**backend.values, "job_ids": ["1", "2_[3-4]"], "qualifier": None}
    assert render_command(backend.kill, values) == "scancel 1 '2_[3-4]'"
    assert render_command(backend.monitor, values).endswith("--jobs='1,2_[3-4]'")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        pytest.param("plain", "0001-plain", id="plain"),
        pytest.param("a b/c", "0001-a-b-c", id="slash-and-space"),
        pytest.param("../../etc", "0001-etc", id="climbing-out"),
        pytest.param("$(id)'\"", "0001-id", id="shell-text"),
        pytest.param("äöü", "0001-task", id="nothing-left"),
        pytest.param("x" * 300, "0001-" + "x" * 40, id="long"),
        pytest.param("-rf", "0001-rf", id="dash"),
    ],
)
def test_a_job_s_folder_has_a_plain_name_whatever_the_task_s(name: str, folder: str) -> None:
    job = placed(job_of({"command": "true", "name": name}), "/ws")
    assert job.directory == f"/ws/r1/{folder}"


@pytest.mark.parametrize(
    ("shell", "first", "submit"),
    [
        (None, "#!/bin/sh", "/bin/sh /ws/r1/0001-task/script"),
        ("bash -l", "#!/bin/bash -l", "/bin/bash -l /ws/r1/0001-task/script"),
        ("/opt/bin/ksh", "#!/opt/bin/ksh", "/opt/bin/ksh /ws/r1/0001-task/script"),
        ("/usr/bin/env bash", "#!/usr/bin/env bash", "/usr/bin/env bash /ws/r1/0001-task/script"),
    ],
)
def test_a_file_may_name_the_shell_that_reads_the_scripts(shell: str | None, first: str, submit: str) -> None:
    job = job_of({"command": "true"})
    rendered = render_job(shipped("local", **({"shell": shell} if shell else {})), job, "/ws")
    assert rendered.script.splitlines()[0] == first
    assert rendered.submit == f"start_job /ws/r1/0001-task/scheduler.log {submit}"


def test_a_rendered_script_holds_steps_env_and_prologue_as_a_person_would_write_them() -> None:
    task = {
        "steps": [
            "echo hello | wc -c",
            {
                "argv": ["a", "b c"],
                "env": {"X": "1 2"},
                "workdir": "sub",
                "stdin": "in",
                "stdout": "out file",
                "stderr": "err",
            },
            {"argv": ["may-fail"], "ignore_error": True},
        ],
        "env": {"K": "v w"},
    }
    script = render_job(toy(prologue=["module load python"]), job_of(task), "/ws").script
    body = script[script.index("steps() {") : script.index("run_job")]
    assert [line.strip() for line in body.splitlines() if line.strip()] == [
        "steps() {",
        "cd /ws/r1/0001-task/work || return",
        "run_prologue 1 'module load python' || return",
        "export K='v w'",
        "begin_step 1 # of 3",
        "sh -c 'echo hello | wc -c' || step_failed || return",
        "begin_step 2 # of 3",
        "(stay; cd sub && X='1 2' a 'b c' <in >'out file' 2>err) || step_failed || return",
        "begin_step 3 # of 3",
        "may-fail || step_failed || :",
        "}",
    ]


def test_a_site_s_environment_reaches_every_step_quoted_and_a_task_s_own_counts_more() -> None:
    backend = toy(env={"PROXY": "http://p:1; rm -rf x", "MODE": "site", "DEBUG": False})
    task = {"steps": ["true"], "env": {"MODE": "mine"}}
    script = render_job(backend, job_of(task), "/ws").script
    assert [line.strip() for line in script.splitlines() if line.strip().startswith("export ")] == [
        "export PROXY='http://p:1; rm -rf x'",
        "export MODE=mine",
        "export DEBUG=false",
    ]


def test_a_site_s_environment_reaches_a_step_in_an_image() -> None:
    launch = {"command": "box {{ env_names | words }} {{ image }} {{ argv | words }}"}
    backend = toy(env={"PROXY": "p"}, launch=launch, images={"docker": "{{ name }}"})
    task = {"steps": [{"argv": ["a"], "env": {"X": "1"}}], "image": "i"}
    assert "box PROXY X i a" in render_job(backend, job_of(task), "/ws").script


@pytest.mark.parametrize(
    ("defaults", "queue"),
    [
        pytest.param({"ram": "1 GiB"}, "small", id="the-default-fits"),
        pytest.param({"ram": "8 GiB"}, "large", id="the-default-is-too-large"),
    ],
)
def test_a_queue_s_condition_on_what_a_task_does_not_ask_for_is_decided_by_the_defaults(
    defaults: dict[str, Any], queue: str
) -> None:
    queues = [{"name": "small", "when": "ram < 4294967296"}, {"name": "large"}]
    assert f"--partition={queue}" in directives({}, defaults=defaults, queues=queues)


@pytest.mark.parametrize("name", ["it's", '"', "$(touch /tmp/x)", "`id`", "a\\b", "é 名", "#", "--"])
def test_a_hostile_task_name_stays_one_word_in_every_directive_and_the_script_still_parses(name: str) -> None:
    script = render_job(shipped("slurm"), job_of({"command": "true", "name": name}), "/ws").script
    line = next(line for line in script.splitlines() if line.startswith("#SBATCH --job-name"))
    escaped = name.replace("\\", "\\\\")  # in #SBATCH lines a backslash escapes even inside single quotes
    assert shlex.split(line.removeprefix("#SBATCH ")) == [f"--job-name={escaped}"]
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("by_slot", "memory"),
    [
        pytest.param(False, ["-R 'span[hosts=1] rusage[mem=4096MB]'", "-M 8192MB"], id="of-the-whole-job"),
        pytest.param(True, ["-R 'span[hosts=1] rusage[mem=1024MB]'", "-M 2048MB"], id="of-each-slot"),
    ],
)
def test_lsf_counts_the_memory_limit_by_slot_where_it_counts_memory_so(*, by_slot: bool, memory: list[str]) -> None:
    backend = shipped("lsf", values={"ram_per_slot": by_slot})
    job = job_of({"command": "true", "resources": {"cpu": 4, "ram": "4 GiB", "ram_limit": "8 GiB"}})
    lines = render_job(backend, placed(job, "/w"), "/w").script.splitlines()
    assert [line.removeprefix("#BSUB ") for line in lines if line.startswith(("#BSUB -R", "#BSUB -M"))] == memory
