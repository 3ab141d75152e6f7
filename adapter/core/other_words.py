"""The words that other tools have for our keys: who comes from one of them is told ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.core.defaults import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Collection

_OURS = {
    "ram": "mem memory ram_gb memory_gb mem_mb maxmem vmem rss h_vmem mem_free mem_per_node",
    "ram_limit": "mem_limit memory_limit max_memory",
    "cpu": "cpus cores ncpus num_cpus threads procs cpus_per_task cores_per_task ppn smp vcpus",
    "cpu_limit": "cpus_limit",
    "gpu": "gpus gres ngpus num_gpus accelerators",
    "disk": "tmp scratch disk_gb storage tmpdir",
    "walltime": "time timelimit time_limit runtime run_time wall_time wallclock duration max_time h_rt maxtime",
    "nodes": "node nnodes num_nodes machines",
    "ranks": "ntasks n_tasks np nprocs processes mpi_ranks slots",
    "queue": "partition class queue_name",
    "queues": "partitions",
    "account": "project allocation charge billing bank account_name",
    "priority": "prio nice",
    "preemptible": "spot preemptable",
    "image": "container container_image sif",
    "env": "environment envs env_vars variables",
    "workdir": "cwd chdir working_dir working_directory work_dir wd directory",
    "name": "job_name jobname title",
    "after": "depends depends_on dependency dependencies needs_tasks",
    "inputs": "stage_in input_files files upload input",
    "outputs": "stage_out output_files download results output",
    "command": "cmd run script exec executable args",
    "steps": "commands",
    "tags": "labels metadata annotations",
    "allowed_exit_codes": "success_codes ok_codes exit_codes",
    "native": "extra_args extra_options scheduler_options flags",
    "extends": "inherits inherit base parent template",
    "prologue": "modules module setup pre_commands init worker_init before_script",
    "kill": "cancel delete terminate stop abort",
    "monitor": "status query poll list",
    "find": "search lookup",
    "result": "accounting history",
    "directives": "header headers pragmas",
    "workspace": "remote_dir scratch_dir staging",
    "values": "vars parameters params",
    "default_backend": "backend default_site",
    "connection": "transport remote ssh",
    "connection.host": "host hostname",
    "connection.user": "user username login",
    "connection.port": "port",
    "limits.max_tasks": "max_jobs max_submit",
    "limits.poll_seconds": "poll_interval polling",
}
"""Our keys, each with the words of others, in small letters and with ``_``."""

REMOVED = {"connection.share": "write `client: openssh` there, and all your processes share one connection"}
"""Keys that were there once, and what to write instead."""

_WORDS: dict[str, list[str]] = {}
for _ours, _others in _OURS.items():
    for _other in _others.split():
        _WORDS.setdefault(_other, []).append(_ours)


def meant(word: str, known: Collection[str]) -> str | None:
    """Return the key that *word* means where the keys *known* may stand, ``None`` if that cannot be told.

    >>> meant("cpus-per-task", ["cpu", "ram"]), meant("mem", ["command", "resources"]), meant("mem", ["row"])
    ('cpu', 'resources.ram', None)
    """
    plain = word.lower().replace("-", "_")
    for ours in [*_WORDS.get(plain, []), plain]:
        if ours in known and ours != word:
            return ours
        if "." in ours and ours.partition(".")[0] in known:
            return ours
        if ours in RESOURCES:
            place = _place_of_resources(known)
            if place is not None:
                return f"{place}.{ours}"
    return None


def _place_of_resources(known: Collection[str]) -> str | None:
    if "resources" in known:
        return "resources"
    if "defaults" in known:
        return "defaults.resources" if "tasks" in known else "defaults"
    return None
