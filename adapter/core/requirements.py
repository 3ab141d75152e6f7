"""Whether a task fits a backend: defaults, queues, and the refusal of what the backend has no way to give."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapter.core.image import choices, split
from adapter.core.task import RESOURCE_FIELDS
from adapter.core.units import format_bytes, format_seconds
from adapter.errors import UnsupportedImage, UnsupportedResource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapter.core.backend import Backend, Queue
    from adapter.core.task import Step, Task


def image_of(backend: Backend, task: Task, step: Step) -> str | tuple[str, ...] | None:
    """Return the image or images that *step* of *task* asks for, or that *backend* has for all."""
    return step.image or task.image or backend.values.get("image")


def with_defaults(backend: Backend, task: Task) -> Task:
    """Return *task* with the backend's defaults for what it does not ask for."""
    missing = {
        RESOURCE_FIELDS[name]: value
        for name, value in backend.defaults.items()
        if getattr(task.resources, RESOURCE_FIELDS[name]) is None
    }
    return replace(task, resources=replace(task.resources, **missing))


def refuse_unsupported(backend: Backend, task: Task) -> None:
    """Refuse a task that asks for what the backend has no way to give: nothing is dropped in silence.

    Raises:
        UnsupportedResource: it names every such resource.
    """
    images = {image for step in task.steps for image in choices(image_of(backend, task, step))}
    asked = [*task.resources.asked(), *(["image"] if images else []), *_asked_besides(task)]
    unsupported = [name for name in asked if not is_possible(backend, name)]
    if unsupported:
        known = [name for name in (*RESOURCE_FIELDS, "image") if backend.is_supported(name)]
        message = (
            f"backend {backend.name} has no way to ask for {', '.join(unsupported)} (task {task.name!r}); "
            f"it knows {', '.join(sorted(known))}"
        )
        if unsupported == ["image"]:
            raise UnsupportedImage(message, protocols=sorted({split(image)[0] or "" for image in images}))
        raise UnsupportedResource(message)
    if "image" in backend.requires and any(not image_of(backend, task, step) for step in task.steps):
        raise UnsupportedResource(
            f"backend {backend.name} runs containers only, and task {task.name!r} has a step without an image; "
            "give the task one (--image, or `image:`)"
        )
    if "one_image" in backend.requires and len({choices(image_of(backend, task, step)) for step in task.steps}) > 1:
        raise UnsupportedResource(
            f"backend {backend.name} runs all steps of a task in one image, and task {task.name!r} has several"
        )
    if not backend.takes_native and any(task.native.get(name) for name in backend.lineage):
        raise UnsupportedResource(
            f"backend {backend.name} has no scheduler to hand native options to (task {task.name!r})"
        )
    asked_values = task.resources.asked()
    for name, cap in backend.limits.capacity.items():
        if cap is not None and asked_values.get(name, 0) > cap:
            raise UnsupportedResource(
                f"task {task.name!r} asks for {name} {shown_amount(name, asked_values[name])}; "
                f"backend {backend.name} has {shown_amount(name, cap)} in all"
            )


_BESIDES = {
    "volumes": {"volumes"},
    "inputs by url": {"inputs"},
    "outputs by url": {"outputs"},
    "inputs": {"inputs", "work_directory"},
    "outputs": {"outputs", "work_directory"},
    "stdin": {"stdin"},
    "workdir": {"work_directory"},
    "stdout": {"stdout"},
    "stderr": {"stderr"},
}


def _asked_besides(task: Task) -> list[str]:
    """Return what *task* asks for that is no resource, and that not every backend has a way to give."""
    asked = {
        "volumes": bool(task.volumes),
        "inputs by url": any(item.url for item in task.inputs),
        "outputs by url": any(item.url for item in task.outputs),
        "inputs": bool(task.inputs),
        "outputs": bool(task.outputs),
        "stdin": task.stdin is not None,
        "workdir": task.workdir is not None,
        "stdout": task.stdout is not None,
        "stderr": task.stderr is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked]


def is_possible(backend: Backend, name: str) -> bool:
    """Whether *backend* has a way to give *name*: a resource, ``image``, or ``stdin``, ``workdir``, ``inputs``, ..."""
    if name in _BESIDES:
        return bool(_BESIDES[name] & backend.job_variables)
    return backend.is_supported(name)


def with_queue(backend: Backend, task: Task) -> Task:
    """Return *task* with the first queue that fits, or with its own queue if that fits.

    Raises:
        UnsupportedResource: what it asks for is over every queue's cap; the message names the cap.
    """
    own = task.resources.queue
    candidates = [queue for queue in backend.queues if own in {None, queue.name}]
    if not candidates:
        return task
    values = {name: getattr(task.resources, field) for name, field in RESOURCE_FIELDS.items()}
    problems = []
    for queue in candidates:
        if own is None and queue.when and not queue.when.holds({**backend.values, **values}):
            continue
        over = {name: cap for name, cap in queue.caps.items() if (values.get(name) or 0) > cap}
        if over and not queue.clamp:
            problems += [_over_cap(queue, name, values[name]) for name in over]
            continue
        lowered: dict[str, Any] = {RESOURCE_FIELDS[name]: cap for name, cap in over.items()}
        return replace(task, resources=replace(task.resources, queue=queue.name, **lowered))
    why = "; ".join(problems) or f"no queue is meant for it (its conditions: {', '.join(_conditions(candidates))})"
    raise UnsupportedResource(f"task {task.name!r} fits no queue of backend {backend.name}: {why}")


def _conditions(queues: Iterable[Queue]) -> list[str]:
    return [f"{queue.name} when {queue.when.text}" for queue in queues if queue.when]


def _over_cap(queue: Queue, name: str, value: float) -> str:
    cap, asked = shown_amount(name, queue.caps[name]), shown_amount(name, value)
    return f"queue {queue.name} allows {name} up to {cap}, it asks for {asked}"


def shown_amount(name: str, value: float) -> str:
    """Return *value* of the resource *name* for a person, with its unit."""
    field = RESOURCE_FIELDS.get(name, name)
    if field.endswith("_bytes"):
        return format_bytes(int(value))
    return format_seconds(value) if field.endswith("_s") else f"{value:g}"
