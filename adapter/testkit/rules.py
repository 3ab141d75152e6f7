"""The contract: what holds for every backend file, shipped or a site's own. Each rule has a name and one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapter.errors import AdapterError
from adapter.testkit import rules_answers, rules_render
from adapter.testkit.subject import Outcome, failed, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adapter.results import Problem
    from adapter.testkit.subject import Subject

    Rule = Callable[[Subject], Outcome]

SCHEMA, VARIABLES = "schema", "variables"
FILE_RULES = {
    SCHEMA: "The file has the form of the format and makes sense.",
    VARIABLES: "Templates use documented variables only.",
}
RULES: dict[str, Rule] = {
    "quoting": rules_render.quoting,
    "operands": rules_render.operands,
    "shell": rules_render.shell,
    "submit": rules_render.submits,
    "resources": rules_render.resources,
    "units": rules_render.units,
    "token": rules_render.token,
    "outer job": rules_render.outer_job,
    "prologue": rules_render.prologue,
    "values": rules_render.values,
    "logs": rules_render.logs,
    "kill": rules_render.kill,
    "qualifier": rules_render.qualifier,
    "many ids": rules_render.many_ids,
    "length": rules_render.length,
    "pages": rules_render.pages,
    "patterns": rules_answers.patterns,
    "errors": rules_answers.errors,
    "endings": rules_answers.endings,
    "job id": rules_answers.job_id,
    "states": rules_answers.states,
    "unknown state": rules_answers.unknown_state,
    "unreadable line": rules_answers.unreadable_line,
    "empty answer": rules_answers.empty_answer,
    "banner": rules_answers.banner,
    "not UTF-8": rules_answers.bytes_not_utf8,
    "finished ids": rules_answers.finished_ids,
    "kill of a finished job": rules_answers.kill_finished,
    "find": rules_answers.find,
    "find answers": rules_answers.find_answers,
}
"""Every rule about a backend that could be loaded, by its name."""


def sentence(name: str) -> str:
    """Return what the rule *name* asks for."""
    if name in FILE_RULES:
        return FILE_RULES[name]
    return (RULES[name].__doc__ or "").strip()


def check_file(problems: Sequence[Problem]) -> dict[str, Outcome]:
    """Return what the *problems* found at load mean for the rules about the file as such."""
    unknown = [str(one) for one in problems if _is_about_variables(one)]
    others = [str(one) for one in problems if not _is_about_variables(one)]
    return {SCHEMA: outcome_of(others), VARIABLES: outcome_of(unknown)}


def _is_about_variables(problem: Problem) -> bool:
    return problem.message.startswith(("unknown variable", "no variable"))


def check(subject: Subject, name: str) -> Outcome:
    """Return how the rule *name* comes out; a backend that cannot do what the rule needs breaks it."""
    try:
        return RULES[name](subject)
    except AdapterError as error:
        return failed(str(error))
