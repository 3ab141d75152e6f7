"""Answering what ``ssh`` asks while it logs in: through ``SSH_ASKPASS``, by the prompt of this process."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    Prompt = Callable[[str, bool], str | None]

# An answer passes through a pipe that only this user can open, and is on no command line: `printf`
# and `read` are the shell's own. `none`: ssh only has something to say, and ends this process.
_PROGRAM = """\
#!/bin/sh
cd "${0%/*}" || exit 1
printf '%s\\n%s\\0' "${SSH_ASKPASS_PROMPT-}" "$1" >questions
[ "${SSH_ASKPASS_PROMPT-}" != none ] || exec sleep 600
IFS= read -r answer <answers && printf '%s\\n' "$answer"
"""


class Askpass:
    """A program for ``SSH_ASKPASS``, while this is open; *answer* is asked, in the event loop's thread.

    *tell* hears what needs no answer. After 20 questions nobody is asked any more. Without an answer
    ``on_no_answer`` has to end ``ssh``, which would send an empty one; ``unanswered`` is the question.
    """

    def __init__(self, answer: Prompt, tell: Callable[[str], None]) -> None:
        self._answer, self._tell = answer, tell
        self.on_no_answer: Callable[[], None] = lambda: None
        self.unanswered: str | None = None
        self._left = 20
        self._text = b""

    def __enter__(self) -> Self:
        """Make the program."""
        self._folder = Path(tempfile.mkdtemp(prefix="adapter-ask-"))
        for name in ("questions", "answers"):
            os.mkfifo(self._folder / name, 0o600)
        program = self._folder / "askpass"
        program.write_text(_PROGRAM)
        program.chmod(0o700)
        # Open for both, so that neither side waits for the other, nor sees its end.
        flags = os.O_RDWR | os.O_NONBLOCK
        self._questions, self._answers = (os.open(self._folder / name, flags) for name in ("questions", "answers"))
        asyncio.get_running_loop().add_reader(self._questions, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        asyncio.get_running_loop().remove_reader(self._questions)
        shutil.rmtree(self._folder, ignore_errors=True)  # first: a program that opens them now fails
        os.close(self._questions)
        os.close(self._answers)

    @property
    def environment(self) -> Mapping[str, str]:
        """What ``ssh`` needs to use it: from OpenSSH 8.4 on, or it asks on the terminal itself."""
        return {"SSH_ASKPASS": str(self._folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force"}

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._text += os.read(self._questions, 1 << 16)
        *questions, self._text = self._text.split(b"\0")
        for question in questions:
            kind, _, text = question.decode(errors="replace").partition("\n")
            if kind == "none":
                self._tell(text)
            else:
                self._reply(text)

    def _reply(self, text: str) -> None:
        self._left -= 1
        answer = None
        with suppress(Exception):  # a prompt that fails is nobody who answers
            answer = self._answer(text, "(yes/no" in text) if self._left >= 0 else None
        if answer is None:
            self.unanswered = text
            self.on_no_answer()
        else:
            os.write(self._answers, answer.replace("\n", "").encode() + b"\n")
