"""What is in force where a key is left out. Written by docs/make_schemas.py from schemas/keys.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "backend": {
        "summary": "",
        "abstract": False,
        "needs": [],
        "programs": {},
        "same_machine": False,
        "connection": {"kind": "local"},
        "values": {},
        "secrets": {},
        "functions": {},
        "defaults": {},
        "supports": [],
        "limits": {},
        "queues": [],
        "prologue": [],
        "shell": "sh",
        "pass_env": {},
        "directives": {},
        "images": {},
        "requires": [],
        "logs": {},
        "errors": {},
        "when": [],
    },
    "automatic": {
        "probe": ":",
    },
    "connection": {
        "compression": True,
    },
    "secrets": {
        "optional": False,
    },
    "limits": {
        "submit_batch": 100,
        "poll_seconds": [1, 30],
        "capacity": {},
        "arrays": False,
    },
    "queues": {
        "max": {},
        "over": "refuse",
    },
    "directives": {
        "prefix": "",
        "options": {},
        "quote": "shell",
    },
    "launch": {
        "options": {},
    },
    "submit": {
        "options": {},
        "timeout": "60s",
        "environment": {},
        "ended_is_any_end": False,
    },
    "monitor": {
        "options": {},
        "timeout": "60s",
        "exit_codes": {},
        "exit_code": {},
        "max_ids": 500,
        "absent": {},
        "requeues": False,
        "success_needs_exit_file": False,
    },
    "monitor.exit_code": {
        "decode": "plain",
        "reasons": {},
    },
    "monitor.absent": {
        "gone_after": "60s",
    },
    "result": {
        "options": {},
        "timeout": "60s",
        "exit_codes": {},
        "exit_code": {},
        "max_ids": 500,
    },
    "result.exit_code": {
        "decode": "plain",
        "reasons": {},
    },
    "find": {
        "options": {},
        "timeout": "60s",
    },
    "array": {
        "first": 0,
        "min_size": 2,
        "max_size": 1000,
    },
    "kill": {
        "options": {},
        "timeout": "60s",
        "max_ids": 500,
    },
    "kill.escalate": {
        "options": {},
        "timeout": "60s",
    },
    "logs": {
        "together": False,
    },
    "logs.stdout": {
        "options": {},
        "timeout": "60s",
    },
    "logs.stderr": {
        "options": {},
        "timeout": "60s",
    },
    "errors": {
        "otherwise": {},
    },
    "task": {
        "name": "task",
        "env": {},
        "inputs": [],
        "outputs": [],
        "resources": {},
        "after": [],
        "volumes": [],
        "tags": {},
        "allowed_exit_codes": [0],
        "native": {},
    },
    "task.after": {
        "until": "succeeded",
    },
    "step": {
        "env": {},
        "ignore_error": False,
    },
    "input": {
        "link": False,
        "folder": False,
    },
    "output": {
        "to": ".",
        "optional": False,
        "exclude": [],
    },
}
