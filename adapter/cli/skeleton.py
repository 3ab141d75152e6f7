"""The texts that ``adapter backends new`` writes: a backend file to fill in, and a capture beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAIN_KEYS = (
    "needs", "supports", "values", "defaults", "limits", "directives", "submit", "array", "monitor", "result", "kill",
    "find", "version", "errors",
)  # fmt: skip

BACKEND = """\
# yaml-language-server: $schema={schema}
# Everything in capitals, and every command, is to be replaced by your scheduler's own. What each key means:
# `docs/reference-backend.md`; what a good file looks like: `adapter backends list`.
format: 1
name: {name}
summary: WHAT PEOPLE CALL THIS PLACE
extends: batch                            # the job's script, its exit file, its logs: common to all schedulers
needs: [submit-job, list-jobs, kill-jobs] # programs that must be there: `adapter check` looks for them
# connection: {{kind: ssh, host: login.example.org}}    # where they are, if not on this machine

directives:                               # lines at the head of the script that the scheduler reads
  prefix: "#JOB"                          # without such lines: remove `directives`, and use submit.options
  options:                                # each is written only if its value is set; what is not here is refused
    token:    --name={{{{ token }}}}          # our mark, in a name, label or comment that `find` can list
    stdout:   --output={{{{ scheduler_log }}}}
    cpu:      --cores={{{{ cpu | ceil }}}}
    ram:      --memory={{{{ ram | mib }}}}      # filters: mib gib gb kib bytes
    walltime: --time={{{{ walltime | hms }}}}   # filters: seconds minutes hms dhms
    # gpu:     --gpus={{{{ gpu }}}}
    # queue:   --queue={{{{ queue }}}}
    # account: --project={{{{ account }}}}

submit:
  command: submit-job {{{{ script }}}}        # never quotes around {{{{ }}}}: every value is one quoted word already
  job_id: '^job (?P<job_id>\\d+) accepted$'  # what it answers
  job_id_inside: $JOB_ID                  # the variable that the scheduler sets inside the job
  environment: {{JOB_ID: drop}}             # the scheduler's variables, which a job called from a job must not inherit

monitor:                                  # many jobs at once
  command: list-jobs {{{{ job_ids | words }}}}
  row: '^(?P<job_id>\\d+) (?P<state>\\w+)(?: (?P<exit_code>\\d+))?$'    # one line for each job
  absent: {{gone_after: 60s}}               # how long a job may be missing from good answers
  states:                                 # our words: every word that the scheduler's manual lists
    queued:    [WAITING]
    held:      [HELD]
    running:   [RUNNING]
    succeeded: [DONE]
    failed:    [FAILED]
    failed/time_limit: [TIMEOUT]
    killed:    [KILLED]

kill:
  command: kill-jobs {{{{ job_ids | words }}}}
  # escalate: {{after: 30s, command: 'kill-jobs --hard {{{{ job_ids | words }}}}'}}

find:                                     # looked into before any submit is repeated: which job has which mark
  command: list-jobs --names
  row: '^(?P<job_id>\\d+) (?P<token>adapter-\\S+)$'

# version: {{command: submit-job --version, pattern: '(?P<version>\\d+(?:\\.\\d+)*)'}}

errors:                                   # the scheduler's exact words, by what has to be done
  transient: ['cannot reach the server']  # try again later
  limit:     ['too many jobs']            # wait, then try again
  gone:      ['no such job']              # of an id that it does not know (any more)
  permanent: ['no such queue', 'invalid option']    # that job fails, with these words
"""

CAPTURE = """\
# yaml-language-server: $schema={schema}
# One answer of your scheduler, as it was printed, and what it means. `adapter test` replays it. One file for each
# answer: of monitor, submit, kill, find; of jobs that run, that ended, and that nobody knows any more.
about: A job that runs, one that ended with exit code 3, and one that is not known any more
source: NAME AND VERSION OF THE SCHEDULER, recorded
action: monitor
asked: ["11", "12", "13"]
exit_code: 0
stdout: |
  11 RUNNING
  12 FAILED 3
stderr: ""
expect:
  jobs:
    "11": {state: running}
    "12": {state: failed, exit_code: 3}
  absent: ["13"]
"""

_LIKE = """\
# yaml-language-server: $schema={schema}
# What is not here is as in {like}. Below are its main keys as they are: take the # away where yours differ. A map that
# you write is merged with what is there, a list or a text replaces it, and null removes it.
format: 1
name: {name}
summary: WHAT PEOPLE CALL THIS PLACE
extends: {like}
# connection: {{kind: ssh, host: login.example.org}}
# workspace: /scratch/$USER/adapter
# queues:
#   - {{name: short, when: walltime <= 3600, max: {{cpu: 16}}}}
#   - {{name: long, max: {{cpu: 64, walltime: 48h}}}}

"""


def skeleton(name: str, schema: str) -> str:
    """Return a backend file to fill in; *schema* is where an editor finds the format."""
    return BACKEND.format(name=name, schema=schema)


def skeleton_like(name: str, like: str, document: Mapping[str, Any], schema: str) -> str:
    """Return a backend file that extends *like*, with the main keys of its merged *document* in comments."""
    from adapter.cli.text import as_yaml

    shown = {key: document[key] for key in MAIN_KEYS if key in document}
    lines = as_yaml(shown).splitlines()
    return _LIKE.format(name=name, like=like, schema=schema) + "".join(f"# {line}".rstrip() + "\n" for line in lines)
