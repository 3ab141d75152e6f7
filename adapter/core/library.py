"""Files of the library on the target: kept once for a workspace, under the hash of their content, linked to each job.

They lie in the store of ``adapter.transports.ssh_files``, so ``adapter clean`` removes what no job links to. A job has
a link of its own: it finds the library that it was rendered for as long as its folder is there.
"""

from __future__ import annotations

import hashlib
from shlex import quote
from typing import TYPE_CHECKING

from adapter.core.render import function_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adapter.core.backend import Backend
    from adapter.core.batch import Command


def store_of(workspace: str) -> str:
    """Return the folder on the target that holds content by its hash."""
    return f"{workspace}/.files/store"


def digest(text: str) -> str:
    """Return the name of *text* in the store."""
    return hashlib.sha256(text.encode()).hexdigest()


def files_for(backend: Backend, user: str) -> list[str]:
    """Return the names of the library's files that *user* (``job`` or ``commands``) needs, in order."""
    return [name for name, its in backend.library.items() if its == user]


def stage_text(workspace: str, texts: Iterable[str], nonce: str) -> str:
    """Return shell text that puts each of *texts* into the store, whole or not at all; it calls ``stage``.

    It is one compound command: where it is cut off on its way, nothing of it runs. *nonce*: twelve hexadecimal digits
    that no other process uses.
    """
    store, end = quote(store_of(workspace)), f"END-{nonce}"
    lines = [
        f"stage {store} bundle-{nonce}.part {digest(text)} {len(text.encode())} <<'{end}'\n{text.rstrip()}\n{end}"
        for text in texts
    ]
    return "\n".join(["{", *lines, "}", ""])


def commands_text(backend: Backend, commands: Iterable[Command], texts: Mapping[str, str]) -> str:
    """Return the functions that *commands* may call: of the library, and the backend's own."""
    names = dict.fromkeys([*files_for(backend, "commands"), *(name for each in commands for name in each.library)])
    lines = [texts[name] for name in names]
    lines += [f"{function_text(name, body.render(backend.values))}\n" for name, body in backend.functions.items()]
    return "".join(lines)
