"""Container images: a protocol and a name. What a backend takes, and how it names it, is data (``images``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adapter.errors import RenderError, UnsupportedImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapter.core.backend import Backend

_IMAGE = re.compile(r"^(?:(?P<protocol>[a-z][a-z0-9+.-]*)://)?(?P<name>.+)$", re.DOTALL)

_PATH = re.compile(r"\.{0,2}/|~/|[^:]*\.sif$")  # what people write for a file
_WHOLE = re.compile(r"/|~/")

Images = str | tuple[str, ...] | None


def choices(images: Images) -> tuple[str, ...]:
    """Return the images that were asked for, best first."""
    return () if images is None else (images,) if isinstance(images, str) else images


def split(image: str) -> tuple[str | None, str]:
    """Return protocol and name of *image*; ``None`` for one that does not say its protocol, unless it is a path.

    >>> split("ubuntu:22.04"), split("file:///images/tool.sif"), split("./tool.sif")
    ((None, 'ubuntu:22.04'), ('file', '/images/tool.sif'), ('file', './tool.sif'))
    """
    match = _IMAGE.match(image)
    protocol, name = (match["protocol"], match["name"]) if match else (None, image)
    return ("file" if protocol is None and _PATH.match(name) else protocol), name


def seen_from(images: Images, absolute: Callable[[str], str]) -> Images:
    """Return *images*, with *absolute* of those that are relative paths; ``~`` is left to the target.

    >>> seen_from(("ubuntu", "./tool.sif"), lambda path: f"/here/{path}")
    ('ubuntu', 'file:///here/./tool.sif')
    """
    if isinstance(images, str):
        protocol, name = split(images)
        return f"file://{absolute(name)}" if protocol == "file" and not _WHOLE.match(name) else images
    return images and tuple(str(seen_from(image, absolute)) for image in images)


def named(backend: Backend, images: Images, task: str) -> list[str]:
    """Return those of *images* that *backend* takes, as it names them, best first.

    An image without a protocol is of the first one that the backend lists.

    Raises:
        UnsupportedImage: it takes none of them.
        RenderError: a file has a relative path.
        RenderError: the name of one begins with ``-``: engines would take it for an option.
    """
    default = next(iter(backend.images), "")
    asked = [(protocol or default, name) for protocol, name in map(split, choices(images))]
    for protocol, name in asked:
        if protocol == "file" and not _WHOLE.match(name):
            raise RenderError(f"image {name} (task {task!r}) is no whole path: a job cannot know from where it is seen")
    taken = [backend.images[protocol].render({"name": name}) for protocol, name in asked if protocol in backend.images]
    if dashed := [name for name in taken if name.startswith("-")]:
        raise RenderError(f"image {dashed[0]!r} begins with -, and would be taken for an option (task {task!r})")
    if asked and not taken:
        protocols = list(dict.fromkeys(protocol for protocol, _ in asked))
        shown = ", ".join(f"{protocol}://" for protocol in backend.images) or "none"
        raise UnsupportedImage(
            f"backend {backend.name} cannot run image {', '.join(choices(images))} (task {task!r}): "
            f"of the image protocols it takes {shown}",
            protocols=protocols,
        )
    return taken
