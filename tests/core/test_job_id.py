"""Ids with a qualifier behind them: one text for people and the store, two parts for the commands."""

from __future__ import annotations

import pytest

from adapter.core.answers import parse_job_id
from adapter.core.array import element_id
from adapter.core.job import Element
from adapter.core.job_id import id_values, parts
from adapter.core.specs import submit_from
from adapter.errors import AmbiguousJobId
from adapter.results import CompletedCommand

from .samples import job_of, shipped

SLURM = shipped("slurm")
AWS = '{\n    "jobArn": "arn:aws:batch:eu-west-1:123456789012:job/a-1",\n    "jobName": "n",\n    "jobId": "a-1"\n}\n'


def said(stdout: str) -> CompletedCommand:
    return CompletedCommand(command="", exit_code=0, stdout=stdout, stderr="")


@pytest.mark.parametrize(
    ("backend", "answer", "job_id"),
    [
        pytest.param("slurm", "123;far-east\n", "123;far-east", id="slurm with clusters"),
        pytest.param("slurm", "123\n", "123", id="slurm without"),
        pytest.param("aws-batch", AWS, "a-1;eu-west-1", id="the region of aws"),
        pytest.param("pbs", "123.server\n", "123.server", id="pbs: the server is part of what the commands take"),
        pytest.param("torque", "123.server:15001\n", "123.server:15001", id="torque"),
        pytest.param(
            "google-batch",
            "projects/p/locations/l/jobs/j\n",
            "projects/p/locations/l/jobs/j",
            id="project and location",
        ),
    ],
)
def test_an_id_is_kept_whole(backend: str, answer: str, job_id: str) -> None:
    assert parse_job_id(shipped(backend).submit.job_id, said(answer)) == job_id


def test_one_number_on_two_clusters_is_no_clear_answer() -> None:
    with pytest.raises(AmbiguousJobId, match="two job ids, 1;a and 1;b"):
        parse_job_id(SLURM.submit.job_id, said("1;a\n1;b\n"))


@pytest.mark.parametrize(
    ("job_id", "expected"),
    [("123;far", ("123", "far")), ("123", ("123", None)), ("123_4;far", ("123_4", "far")), (None, ("", None))],
)
def test_commands_take_the_two_parts_apart(job_id: str | None, expected: tuple[str, str | None]) -> None:
    assert parts(SLURM.submit, job_id) == expected


def test_where_no_qualifier_is_read_an_id_is_taken_as_it_stands() -> None:
    assert parts(submit_from({"command": "x", "job_id": "(?P<job_id>.+)"}), "1;a") == ("1;a", None)


def test_an_element_of_an_array_keeps_the_cluster_of_the_whole() -> None:
    job = job_of(array=Element(directory="/d", token="t", submit_try=1, index=4, size=9))
    assert element_id(SLURM, job, "123;far") == "123_4;far"


def test_a_command_is_given_the_ids_and_their_cluster() -> None:
    assert id_values(SLURM.submit, ["1;far", "2;far"]) == {"job_ids": ["1", "2"], "job_id": "1", "qualifier": "far"}
