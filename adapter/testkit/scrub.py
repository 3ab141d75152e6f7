"""Taking people and places out of what is kept or shared: users, hosts, homes, run ids, addresses, secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapter.core.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RUN = re.compile(r"\badapter-([0-9a-hjkmnp-tv-z]{10})-\d")  # of other runs; one of ours becomes run0000001


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Takes names out of a text: what stands in ``paths`` and ``words``, run ids, addresses; the same each time.

    ``paths`` are replaced wherever they stand, the longest first; ``words`` only as whole words, by others of the same
    length, so that columns stay where they are.
    """

    paths: Mapping[str, str]
    words: Mapping[str, str]
    runs: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def __call__(self, text: str) -> str:
        """Return *text* without them."""
        text = redact(text, self.secrets)
        for path in sorted(filter(None, self.paths), key=len, reverse=True):
            text = re.sub(rf"{re.escape(path)}(?![\w-])", self.paths[path], text)
        runs = dict(self.runs)
        for number, run_id in enumerate(dict.fromkeys(_RUN.findall(text)), 1):
            runs.setdefault(run_id, f"other{number:05d}")
        for run_id, name in runs.items():
            text = text.replace(run_id, name)
        for word in sorted(filter(None, self.words), key=len, reverse=True):
            text = re.sub(rf"(?<![\w]){re.escape(word)}(?![\w])", self.words[word], text)
        text = re.sub(r"[\w.+-]+@[\w-]+\.[\w.-]+", "user@host.example", text)
        return re.sub(r"(?<![\w.])(?!127\.)\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", "192.0.2.1", text)


def scrubber(  # noqa: PLR0913 (each is a kind of name)
    *,
    users: Iterable[str],
    hosts: Iterable[str],
    homes: Iterable[str],
    folders: Iterable[str],
    runs: Iterable[str],
    secrets: Iterable[str] = (),
) -> Scrubber:
    """Return what takes these names out; *folders* are further paths whose place nobody should know."""
    words = {user: _like(user, "user") for user in users if user}
    for host in filter(None, hosts):
        short, _, domain = host.partition(".")
        if short and not short.isdigit() and short != "localhost":
            words.setdefault(short, _like(short, "host"))
            if domain:
                words[host] = f"{_like(short, 'host')}.example"
    paths = dict.fromkeys((folder for folder in folders if len(folder) > 1), "/home/user/.adapter")
    paths.update(dict.fromkeys((home for home in homes if len(home) > 1), "/home/user"))
    names = {run_id: f"run{number:07d}" for number, run_id in enumerate(runs, 1)}
    return Scrubber(paths=paths, words=words, runs=names, secrets=tuple(secrets))


NAMES_STEP = """\
echo "user $(id -un)"
echo "host $(uname -n)"
echo "host $(hostname -f 2>/dev/null)"
echo "home $HOME"
echo "home $(cd && pwd -P)"
"""
"""Shell text that prints what on the target tells of people and places."""


def names_in(stdout: str) -> dict[str, list[str]]:
    """Return the users, hosts and homes in the answer to ``NAMES_STEP``."""
    found: dict[str, list[str]] = {"user": [], "host": [], "home": []}
    for line in stdout.splitlines():
        kind, _, value = line.partition(" ")
        if kind in found and value.strip():
            found[kind].append(value.strip())
    return found


def _like(word: str, name: str) -> str:
    """Return *name* at the length of *word*."""
    return (name + "x" * len(word))[: len(word)]
