"""Describe a scheduler in YAML; submit, monitor and kill through it, here or over SSH.

The public names, each loaded when it is first used: ``import adapter`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter._version import __version__
    from adapter.api import Session, connect, run
    from adapter.config.load import load_backend
    from adapter.config.tasks import load_tasks
    from adapter.core.backend import Backend
    from adapter.core.batch import Command
    from adapter.core.event import Event, EventKind
    from adapter.core.job import Job, Usage
    from adapter.core.state import Reason, State
    from adapter.core.task import After, Input, Output, Resources, Step, Task, Until
    from adapter.errors import AdapterError
    from adapter.execution.executor import Executor
    from adapter.execution.run import Run, RunningTask
    from adapter.results import CompletedCommand
    from adapter.store.sqlite import SqliteStore
    from adapter.transports.base import Download, Transfer, Transport, Upload
    from adapter.transports.local import LocalTransport
    from adapter.transports.scripted import ScriptedTransport

_HOMES = {
    "AdapterError": "errors",
    "After": "core.task",
    "Backend": "core.backend",
    "Command": "core.batch",
    "CompletedCommand": "results",
    "Download": "transports.base",
    "Event": "core.event",
    "EventKind": "core.event",
    "Executor": "execution.executor",
    "Input": "core.task",
    "Job": "core.job",
    "LocalTransport": "transports.local",
    "Output": "core.task",
    "Reason": "core.state",
    "Resources": "core.task",
    "Run": "execution.run",
    "RunningTask": "execution.run",
    "ScriptedTransport": "transports.scripted",
    "Session": "api",
    "SqliteStore": "store.sqlite",
    "State": "core.state",
    "Step": "core.task",
    "Task": "core.task",
    "Transfer": "transports.base",
    "Transport": "transports.base",
    "Until": "core.task",
    "Upload": "transports.base",
    "Usage": "core.job",
    "__version__": "_version",
    "connect": "api",
    "load_backend": "config.load",
    "load_tasks": "config.tasks",
    "run": "api",
}

__all__ = [
    "AdapterError",
    "After",
    "Backend",
    "Command",
    "CompletedCommand",
    "Download",
    "Event",
    "EventKind",
    "Executor",
    "Input",
    "Job",
    "LocalTransport",
    "Output",
    "Reason",
    "Resources",
    "Run",
    "RunningTask",
    "ScriptedTransport",
    "Session",
    "SqliteStore",
    "State",
    "Step",
    "Task",
    "Transfer",
    "Transport",
    "Until",
    "Upload",
    "Usage",
    "__version__",
    "connect",
    "load_backend",
    "load_tasks",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'adapter' has no attribute {name!r}")
    return getattr(import_module(f"adapter.{_HOMES[name]}"), name)
