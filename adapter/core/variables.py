"""The variables that templates may use: their names, what they mean, and a sample of each."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from adapter.core.task import RESOURCE_FIELDS, Resources
from adapter.core.template import Raw

if TYPE_CHECKING:
    from collections.abc import Mapping

TASK_VARIABLES = {
    **dict.fromkeys(
        RESOURCE_FIELDS,
        "the resource of that name: memory and disk in bytes, walltime in seconds; none if not asked for",
    ),
    "name": "the task's name",
    "token": "our unique mark on this job",
    "run": "the run's id",
    "array_size": "how many elements the array has that is handed over; none for a job by itself",
    "attempt": "1 for the first submission of the task",
    "image": "the container image as this backend names it, none if not asked for; the first of `images`",
    "images": "the container images that would do, best first, as this backend names them, a list",
    "env": "the task's environment, a map",
    "tags": "the task's tags, a map",
    "inputs": "the inputs; each has to (its path in the work folder), path (where it was put on the target), content, "
    "url (each none if it is not that kind) and folder (true or false)",
    "outputs": "the declared outputs; each has path (in the work folder, may be a pattern), url (none: it is brought "
    "here), pattern (true if path is one) and optional",
    "volumes": "absolute paths of folders that the steps share, a list",
    "after_succeeded": "ids of the jobs that must succeed first, a list; none if there is none",
    "after_ended": "ids of the jobs that must have ended first, a list; none if there is none",
    "shell": "the words of the program that reads the job's script, a list; the first is a path",
    "pass_env": "names and patterns of the job's own variables that a step in an image gets too, a list",
    "native": "the scheduler's own options from the task, a list",
    "steps": "the steps; each has command (shell text for a script with our wrapper), text (shell text that stands "
    "alone, and returns its failure), argv, env (the task's and its own), workdir, stdin, stdout, stderr (each none if "
    "not asked for), image, images, ignore_error",
    "workspace": "the folder on the target that holds everything of ours",
    "job_directory": "this job's folder on the target",
    "library": "the folder in which the job has the files of the library that it needs, such as wrapper.sh",
    "work_directory": "the folder in which the steps run",
    "script": "path of the job's script on the target",
    "stdin": "path that the task reads, none for no input",
    "stdout": "path that takes the task's standard output",
    "stderr": "path that takes the task's standard error",
    "exit_file": "path of the file that the wrapper writes at the end",
    "scheduler_log": "path for what the scheduler itself writes about the job",
}
SCRIPT_VARIABLES = {
    "directives": "the directive lines",
    "prologue": "the backend's prologue lines",
    "job_id_inside": "shell text that gives the job id inside the job",
    "submit_try": "1 for the first time that this job is handed over, 2 for the second",
    "launch_setup": "what `launch.setup` gives, nothing if no step has an image",
    "launch_stop": "what `launch.stop` gives, nothing if no step has an image",
}
ID_NOT_LEARNT = "unknown"  # what a job takes for its id where the backend does not say how it can learn it
COMMAND_VARIABLES = {"options": "this command's options, quoted"}
JOB_ID_VARIABLES = {
    "job_id": "the scheduler's id of one job: the command runs once a job",
    "job_ids": "the ids of many jobs: the command runs once for up to max_ids of them",
    "qualifier": "the cluster, region or server that knows these jobs, as `submit` read it; none if it read none",
    "job_directory": TASK_VARIABLES["job_directory"],
    "workspace": TASK_VARIABLES["workspace"],
    "run": "the run's id: the command runs once for each run",
    "next": "where an answer comes in pages, what names the next page; none for the first",
}
FIND_VARIABLES = {
    "tokens": "the marks looked for",
    "workspace": TASK_VARIABLES["workspace"],
    "run": JOB_ID_VARIABLES["run"],
    "next": JOB_ID_VARIABLES["next"],
}
WATCH_VARIABLES = {"workspace": TASK_VARIABLES["workspace"]}
LAUNCH_VARIABLES = {
    "step": "the step that is started, as in `steps`",
    "step_number": "1 for the first step",
    "step_directory": "the folder on the target in which the step runs",
    "argv": "the step's command, a list of words",
    "env_names": "names of the variables that the step needs; they are set in the script's own environment",
}


def sample_values(backend_values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value of the right type for every task variable: what templates are tried with when a file is loaded."""
    resources: dict[str, Any] = {
        name: _SAMPLES[item.type] for name, item in zip(RESOURCE_FIELDS, fields(Resources), strict=True)
    }
    texts = dict.fromkeys(TASK_VARIABLES, "text")
    one = {"to": "text", "path": "text", "content": "text", "url": "text", "folder": False}
    lists: dict[str, Any] = {
        "inputs": [one], "outputs": [{"path": "text", "url": "text", "pattern": False, "optional": False}],
        "native": ["text"], "shell": ["/bin/text"], "pass_env": [Raw("TEXT"), Raw("TEXT_*")],
        "volumes": ["text"], "images": ["text"], "attempt": 1, "array_size": 2,
        "after_succeeded": ["text"], "after_ended": ["text"],
    }  # fmt: skip
    maps = {"env": {"KEY": "text"}, "tags": {"key": "text"}}
    step = {
        "command": Raw("true"), "text": Raw("true || return"), "argv": ["text"], "env": {"KEY": "text"},
        "workdir": "text", "stdin": "text",
        "stdout": "text", "stderr": "text", "image": "text", "images": ["text"], "ignore_error": False,
    }  # fmt: skip
    return {
        **texts, **resources, **lists, **maps, "steps": [step], **backend_values,
        "directives": Raw("# directive\n"), "prologue": [Raw("true")], "job_id_inside": Raw("$ID"), "submit_try": 1,
        "options": Raw("--option"), "launch_setup": Raw("true"), "launch_stop": Raw("true"),
        "job_id": "text", "job_ids": ["text"], "qualifier": "text", "tokens": ["text"], "next": "text",
        "step": step, "step_number": 1, "step_directory": "text", "argv": ["text"], "env_names": ["text"],
    }  # fmt: skip


_SAMPLES: dict[Any, Any] = {"float | None": 2.0, "int | None": 2, "bool | None": True, "str | None": "text"}
