"""A real YAML language server reads our schemas: an editor completes keys and marks what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.live.conftest import SERVICES, lacking

SCHEMAS = Path(__file__).parents[2] / "schemas"
DEADLINE_S = 60


class Editor:
    """Speaks to a language server as an editor does: JSON-RPC over its standard streams."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._number = self._files = 0
        options = {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": {}}
        self.ask("initialize", {**options, "workspaceFolders": [{"uri": folder.as_uri(), "name": "here"}]})
        self._send(method="initialized", params={})

    def _listen(self) -> None:
        stream = self._server.stdout
        assert stream is not None
        while header := stream.readline():
            size = int(header.removeprefix(b"Content-Length:")) if header.startswith(b"Content-Length:") else None
            if size is not None:
                while stream.readline().strip():
                    pass
                self._said.put(json.loads(stream.read(size)))

    def _send(self, **message: Any) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin is not None
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self._server.stdin.flush()

    def _next(self) -> dict[str, Any]:
        """Return the next message that is no question of the server's own; each of those gets an empty answer."""
        while True:
            message = self._said.get(timeout=DEADLINE_S)
            if "id" not in message or "method" not in message:
                return message
            wanted = message["params"].get("items") if isinstance(message.get("params"), dict) else None
            self._send(id=message["id"], result=[None] * len(wanted) if wanted else None)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        self._send(id=self._number, method=method, params=params)
        while (message := self._next()).get("id") != self._number:
            pass
        assert "error" not in message, message
        return message["result"]

    def open(self, schema: str, text: str) -> tuple[str, list[str]]:
        """Open a file with *text* under *schema*; return its address, and what is wrong with it."""
        self._files += 1
        file = self._folder / f"{schema}-{self._files}.yaml"
        whole = f"# yaml-language-server: $schema={SCHEMAS / f'{schema}.schema.json'}\n{text}"
        file.write_text(whole, encoding="utf-8")
        document = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": whole}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        while True:
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == file.as_uri():
                return file.as_uri(), [found["message"] for found in message["params"]["diagnostics"]]

    def complete(self, uri: str, line: int, column: int) -> set[str]:
        """Return what is offered at *line* and *column*, both from 0; line 0 is the one that names the schema."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}
        answer = self.ask("textDocument/completion", place)
        return {item["label"] for item in (answer["items"] if isinstance(answer, dict) else answer)}

    def close(self) -> None:
        self._server.kill()
        self._server.wait()


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    printed = subprocess.run([SERVICES / "editor.sh", "env"], capture_output=True, text=True, check=True).stdout
    server = Path(printed.strip().partition("=")[2])
    if shutil.which("node") is None or not server.exists():
        lacking("there is no YAML language server (npm package yaml-language-server)")
    opened = Editor(["node", str(server), "--stdio"], tmp_path_factory.mktemp("editor"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("schema", "text", "wrong"),
    [
        pytest.param("backend", "format: 1\nextends: slurm\nmonitr: {}\n", "monitr", id="backend-unknown-key"),
        pytest.param("backend", "format: 2\nextends: slurm\n", "1", id="backend-another-format"),
        pytest.param("backend", "format: 1\nextends: slurm\nkill: {comand: x}\n", "comand", id="backend-key-in-a-map"),
        pytest.param("backend", "format: 1\n", "workspace", id="backend-incomplete"),
        pytest.param("task", "command: echo\nresources: {ram: 1 GiB, cpus: 1}\n", "cpus", id="task"),
        pytest.param("config", "default_backnd: local\n", "default_backnd", id="config"),
        pytest.param("capture", "about: x\naction: monitr\n", "monitor", id="capture"),
    ],
)
def test_an_editor_marks_what_is_wrong(editor: Editor, schema: str, text: str, wrong: str) -> None:
    _, found = editor.open(schema, text)
    assert any(wrong in message for message in found), found


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        pytest.param("backend", "format: 1\nextends: slurm\ndefaults: {ram: 2 GiB}\n", id="backend"),
        pytest.param("task", "tasks:\n- command: [echo, a]\n- {name: b, command: echo b}\n", id="task"),
        pytest.param("config", "default_backend: local\n", id="config"),
    ],
)
def test_an_editor_has_nothing_to_say_against_a_file_that_is_right(editor: Editor, schema: str, text: str) -> None:
    assert editor.open(schema, text)[1] == []


@pytest.mark.parametrize(
    ("schema", "text", "line", "column", "offered"),
    [
        pytest.param("backend", "format: 1\n\n", 2, 0, {"extends", "monitor", "submit", "queues"}, id="backend"),
        pytest.param("backend", "format: 1\nkill:\n  \n", 3, 2, {"command", "escalate", "max_ids"}, id="backend-map"),
        pytest.param("backend", "format: 1\nconnection:\n  kind: \n", 3, 8, {"local", "ssh"}, id="backend-words"),
        pytest.param("task", "command: echo\n\n", 2, 0, {"inputs", "outputs", "resources"}, id="task"),
        pytest.param("config", "\n", 1, 0, {"default_backend", "state_dir"}, id="config"),
        pytest.param("capture", "about: x\n\n", 2, 0, {"action", "stdout"}, id="capture"),
    ],
)
def test_an_editor_offers_the_keys_and_words_of_a_place(
    editor: Editor, schema: str, text: str, line: int, column: int, offered: set[str]
) -> None:
    uri, _ = editor.open(schema, text)
    assert offered - editor.complete(uri, line, column) == set()
