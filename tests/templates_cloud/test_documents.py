"""The documents that go to services fit the form that their vendors publish, whatever the task asks for."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapter.config.load import load_backend
from adapter.core.backend import Backend, backend_from, merge
from adapter.core.job import Element, Job
from adapter.core.render import render_job
from adapter.core.task import Resources, Step, Task
from adapter.errors import UnsupportedResource

SCHEMAS = Path(__file__).parent.parent / "schemas"
NAMES = {
    "aws-batch": "aws-batch", "kubernetes": "kubernetes-job", "google-batch": "google-batch",
    "azure-batch": "azure-batch", "nomad": "nomad",
}  # fmt: skip
HOSTILE = "a  b'c\"d$(touch x)`touch x`;|&\\e\n{{ f }} ${g} $(HOME) $$ $"
GIB = 2**30

# What each backend can give, every bit of it; what is not here is refused (a test below says so).
EVERYTHING = {
    "aws-batch": Resources(cpu=2, ram_bytes=3 * GIB, gpu=1, walltime_s=90, queue="q", priority=7),
    "kubernetes": Resources(
        cpu=0.5, cpu_limit=1.5, ram_bytes=GIB, ram_limit_bytes=2 * GIB, disk_bytes=GIB, gpu=2, walltime_s=90
    ),
    "google-batch": Resources(
        cpu=0.5, ram_bytes=GIB, disk_bytes=40 * GIB, gpu=1, walltime_s=90, priority=3, preemptible=True
    ),
    "azure-batch": Resources(cpu=2, walltime_s=5400),
    "nomad": Resources(cpu=2, ram_bytes=GIB, ram_limit_bytes=2 * GIB, disk_bytes=GIB, gpu=1, priority=10),
}
AFTER = ("aws-batch", "azure-batch")
ARRAYS = ("aws-batch", "kubernetes")
ONE_IMAGE = ("aws-batch", "azure-batch", "nomad")


@functools.cache
def shipped(name: str) -> Backend:
    return load_backend(name).backend


def backend(name: str, **changes: Any) -> Backend:
    loaded = shipped(name)
    needed = {"defaults": {"queue": "q"}} if name == "aws-batch" else {}
    return backend_from(merge(merge(loaded.document, needed), changes), name=name, lineage=loaded.lineage)


def document(name: str, task: Task, *, changes: dict[str, Any] | None = None, **job: Any) -> Any:
    its = Job(run="c7kq2m9xdt", index=1, task=task, **job)
    return json.loads(render_job(backend(name, **(changes or {})), its, "/w").script)


@functools.cache
def validator(name: str) -> jsonschema.Draft7Validator:
    schema = json.loads((SCHEMAS / f"{NAMES[name]}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def fits(name: str, rendered: Any) -> None:
    wrong = [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(rendered)]
    assert not wrong


def steps(*lines: str, **rest: Any) -> Task:
    return Task(steps=tuple(Step(argv=("sh", "-c", line)) for line in lines), image="busybox:1", **rest)


TASKS = {
    "minimal": Task(steps=(Step(argv=("true",)),), image="busybox:1"),
    "several steps": steps("echo one", "echo one", "echo three"),
    "hostile texts": Task(
        name=HOSTILE.replace("\n", " "),
        steps=(Step(argv=("echo", HOSTILE, ""), env={"OWN": HOSTILE}),),
        env={"TEXT": HOSTILE, "EMPTY": ""},
        image="registry.example.org:5000/a/b@sha256:0123",
    ),
    "redirects": Task(
        steps=(Step(argv=("cat",), stdin="in", stdout="out", stderr="err", workdir="sub", ignore_error=True),),
        image="busybox:1",
    ),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_document_has_the_published_form(name: str, task: Task) -> None:
    fits(name, document(name, task))


@pytest.mark.parametrize("name", NAMES)
def test_so_has_one_that_asks_for_everything(name: str) -> None:
    rendered = document(name, replace(TASKS["minimal"], resources=EVERYTHING[name]))

    fits(name, rendered)
    assert rendered != document(name, TASKS["minimal"])


@pytest.mark.parametrize("name", NAMES)
def test_what_a_backend_cannot_give_is_refused(name: str) -> None:
    asked = EVERYTHING[name].asked()
    others: dict[str, Any] = (
        {"nodes": 2, "ranks": 4, "account": "a"} if name != "aws-batch" else {"nodes": 2, "disk_bytes": GIB}
    )

    for key, value in others.items():
        assert key not in asked
        with pytest.raises(UnsupportedResource):
            document(name, replace(TASKS["minimal"], resources=Resources(**{key: value})))


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_an_image_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedResource, match="without an image"):
        document(name, Task(steps=(Step(argv=("true",)),)))


@pytest.mark.parametrize("name", ARRAYS)
def test_so_has_an_array(name: str) -> None:
    element = Element(directory="/w/r/0001-task", token="adapter-c7kq2m9xdt-1-1", submit_try=1, index=0, size=40)

    rendered = document(name, TASKS["minimal"], array=element, directory="/w/r/0001-task")

    fits(name, rendered)
    expected = {"aws-batch": ("arrayProperties", {"size": 40}), "kubernetes": ("spec", {"completions": 40})}[name]
    assert expected[1].items() <= rendered[expected[0]].items()


@pytest.mark.parametrize("name", AFTER)
def test_so_has_a_task_that_waits_for_others(name: str) -> None:
    rendered = document(name, TASKS["minimal"], after_succeeded=("id-1", "id-2"))

    fits(name, rendered)
    assert rendered["dependsOn"] == {
        "aws-batch": [{"jobId": "id-1"}, {"jobId": "id-2"}], "azure-batch": {"taskIds": ["id-1", "id-2"]},
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", ONE_IMAGE)
def test_steps_of_several_images_are_refused_where_a_job_is_one_container(name: str) -> None:
    task = replace(steps("true", "true"), steps=(Step(argv=("true",), image="one"), Step(argv=("true",), image="two")))

    with pytest.raises(UnsupportedResource, match="runs all steps of a task in one image, and task"):
        document(name, task)


def container_of(name: str, rendered: Any) -> tuple[list[str], dict[str, str]]:
    """Return the words and the variables with which the service starts the (last) container."""
    match name:
        case "aws-batch":
            box = rendered["containerOverrides"]
            return box["command"], {one["name"]: one["value"] for one in box.get("environment", ())}
        case "kubernetes":
            box = rendered["spec"]["template"]["spec"]["containers"][0]
            return [expanded(word) for word in box["command"]], {e["name"]: expanded(e["value"]) for e in box["env"]}
        case "google-batch":
            runnable = rendered["taskGroups"][0]["taskSpec"]["runnables"][-1]
            box = runnable["container"]
            return [box["entrypoint"], *box["commands"]], runnable["environment"]["variables"]
        case "azure-batch":
            return shlex.split(rendered["commandLine"]), {
                one["name"]: one["value"] for one in rendered["environmentSettings"]
            }
    task = rendered["Job"]["TaskGroups"][0]["Tasks"][0]
    return task["Config"]["entrypoint"], task["Env"]


def expanded(text: str) -> str:
    """Do what Kubernetes does with words and variables: ``$$`` is one ``$``, ``$(NAME)`` a variable."""
    return re.sub(r"\$\$|\$\([^)]*\)", lambda match: "$" if match[0] == "$$" else "EXPANDED", text)


@pytest.mark.parametrize("name", NAMES)
def test_words_and_variables_arrive_as_they_were(name: str) -> None:
    """The last step as the container sees it; where a shell of the image starts it, that shell is asked."""
    task = Task(steps=(Step(argv=("printf", "%s|", HOSTILE, "", "$HOME")),), env={"TEXT": HOSTILE}, image="i")

    words, variables = container_of(name, document(name, task))

    printed = subprocess.run(words, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout
    assert printed == f"{HOSTILE}||$HOME|"
    assert variables["TEXT"] == HOSTILE


@pytest.mark.parametrize("name", ONE_IMAGE)
@pytest.mark.parametrize(
    ("lines", "stdout", "exit_code"),
    [
        pytest.param(("echo one", "echo two"), "one\ntwo\n", 0, id="in order"),
        pytest.param(("echo one; exit 4", "echo two"), "one\n", 4, id="the first failure stops"),
    ],
)
def test_steps_of_one_container_run_as_they_should(
    name: str, lines: tuple[str, ...], stdout: str, exit_code: int
) -> None:
    words, _ = container_of(name, document(name, steps(*lines, env={"A": "b"})))

    done = subprocess.run(words, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == (stdout, exit_code)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_that_does_not_matter_does_not_stop_the_steps(name: str) -> None:
    if name == "google-batch":  # Batch itself has a word for it
        task = Task(steps=(Step(argv=("false",), ignore_error=True), Step(argv=("true",))), image="i")
        runnables = document(name, task)["taskGroups"][0]["taskSpec"]["runnables"]
        assert [one.get("ignoreExitStatus") for one in runnables] == [True, None]
        return
    words, _ = container_of(
        name, document(name, Task(steps=(Step(argv=("false",), ignore_error=True),), image="i", env={"A": "b"}))
    )

    assert subprocess.run(words, env={"PATH": "/usr/bin:/bin"}, check=False).returncode == 0


# ---- one by one --------------------------------------------------------------------------------------------------


def test_kubernetes_runs_steps_in_order_each_in_its_image() -> None:
    task = Task(
        steps=(Step(argv=("one",), image="first"), Step(argv=("one",), image="first"), Step(argv=("two",))),
        image="last",
        volumes=("/data",),
    )

    spec = document("kubernetes", task)["spec"]["template"]["spec"]

    seen = [(box["name"], box["image"]) for box in (*spec["initContainers"], *spec["containers"])]
    assert seen == [("step-1", "first"), ("step-2", "first"), ("step-3", "last")]
    mounts = [{"name": "work", "mountPath": "/adapter"}, {"name": "shared-0", "mountPath": "/data"}]
    assert all(box["volumeMounts"] == mounts for box in (*spec["initContainers"], *spec["containers"]))
    assert spec["volumes"] == [{"name": "work", "emptyDir": {}}, {"name": "shared-0", "emptyDir": {}}]


def test_kubernetes_takes_what_a_site_sets() -> None:
    values = {
        "image_pull_policy": "Never", "image_pull_secrets": ["key"], "gpu_resource": "amd.com/gpu",
        "priority_class": "low", "service_account": "jobs", "host_network": True, "node_selector": {"kind": "big"},
        "tolerations": [{"key": "k", "operator": "Exists"}], "affinity": {"nodeAffinity": {}},
        "security_context": {"runAsUser": 1000}, "runtime_class": "gvisor", "work_folder": "",
        "pod_volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
        "pod_volume_mounts": [{"name": "home", "mountPath": "/home", "readOnly": True}],
    }  # fmt: skip

    rendered = document("kubernetes", replace(TASKS["minimal"], resources=Resources(gpu=2)), changes={"values": values})

    fits("kubernetes", rendered)
    spec = rendered["spec"]["template"]["spec"]
    box = spec["containers"][0]
    assert box["resources"]["limits"] == {"amd.com/gpu": "2"}
    assert (box["volumeMounts"], spec["volumes"]) == (values["pod_volume_mounts"], values["pod_volumes"])
    assert spec["imagePullSecrets"] == [{"name": "key"}]
    assert (spec["nodeSelector"], spec["tolerations"]) == (values["node_selector"], values["tolerations"])
    assert (spec["hostNetwork"], spec["priorityClassName"], spec["runtimeClassName"]) == (True, "low", "gvisor")
    assert "workingDir" not in box


def test_kubernetes_writes_quantities_in_its_own_units() -> None:
    rendered = document("kubernetes", replace(TASKS["minimal"], resources=EVERYTHING["kubernetes"]))

    spec = rendered["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1073741824", "ephemeral-storage": "1073741824"},
        "limits": {
            "cpu": "1500m", "memory": "2147483648", "ephemeral-storage": "1073741824", "nvidia.com/gpu": "2",
        },
    }  # fmt: skip
    assert spec["activeDeadlineSeconds"] == 90


@pytest.mark.parametrize(
    ("walltime_s", "seconds"),
    [pytest.param(7, 60, id="no less than AWS takes"), pytest.param(90, 90, id="as asked")],
)
def test_aws_gets_a_timeout_that_it_takes(walltime_s: int, seconds: int) -> None:
    rendered = document("aws-batch", replace(TASKS["minimal"], resources=Resources(walltime_s=walltime_s)))

    assert rendered["timeout"] == {"attemptDurationSeconds": seconds}


@pytest.mark.parametrize(
    ("fargate", "cpu", "value"),
    [
        pytest.param(False, 0.5, "1", id="EC2 has whole processors"),
        pytest.param(False, 2.0, "2", id="two are two"),
        pytest.param(True, 0.5, "0.5", id="Fargate has halves"),
    ],
)
def test_aws_gets_processors_as_text(fargate: bool, cpu: float, value: str) -> None:
    task = replace(TASKS["minimal"], resources=Resources(cpu=cpu, ram_bytes=GIB))

    rendered = document("aws-batch", task, changes={"values": {"fargate": fargate}})

    assert rendered["containerOverrides"]["resourceRequirements"] == [
        {"type": "VCPU", "value": value}, {"type": "MEMORY", "value": "1024"},
    ]  # fmt: skip


def test_google_gets_its_machine() -> None:
    rendered = document("google-batch", replace(TASKS["minimal"], resources=EVERYTHING["google-batch"]))

    spec = rendered["taskGroups"][0]["taskSpec"]
    assert spec["computeResource"] == {"cpuMilli": 500, "memoryMib": 1024, "bootDiskMib": 40960}
    assert spec["maxRunDuration"] == "90s"
    assert rendered["allocationPolicy"]["instances"] == [
        {
            "installGpuDrivers": True,
            "policy": {"provisioningModel": "SPOT", "accelerators": [{"type": "nvidia-tesla-t4", "count": 1}]},
        }
    ]


def test_nomad_and_azure_get_theirs() -> None:
    azure = document("azure-batch", replace(TASKS["minimal"], resources=EVERYTHING["azure-batch"]))
    nomad = document("nomad", replace(TASKS["minimal"], resources=EVERYTHING["nomad"]))

    assert (azure["constraints"]["maxWallClockTime"], azure["requiredSlots"]) == ("PT5400S", 2)
    group = nomad["Job"]["TaskGroups"][0]
    assert group["Tasks"][0]["Resources"] == {
        "Cores": 2, "MemoryMB": 1024, "MemoryMaxMB": 2048, "Devices": [{"Name": "nvidia/gpu", "Count": 1}],
    }  # fmt: skip
    assert group["EphemeralDisk"] == {"SizeMB": 1024}
