"""What the documents show is true: files load, commands and tests exist, links lead somewhere, tables are fresh."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from adapter.cli.main import EXIT_CODES, cli
from adapter.cli.test import rendered
from adapter.config.load import load_backend, validate_file
from adapter.config.settings import load_settings
from adapter.config.tasks import load_tasks
from adapter.core.dry_run import life_cycle
from adapter.core.job import Job
from adapter.core.task import RESOURCE_FIELDS, Resources, Step, Task
from adapter.errors import AdapterError
from adapter.testkit.run import examine
from adapter.testkit.subject import Status
from tests.crash.victim import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from adapter.core.backend import Backend

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "templates/README.md")
DOCUMENTS = sorted([*(ROOT / name for name in OUTSIDE), *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def shown(document: Path) -> str:
    return str(document.relative_to(ROOT))


def blocks(kind: str) -> list[Any]:
    return [
        pytest.param(match["text"], id=f"{shown(document)}-{number}")
        for document in DOCUMENTS
        for number, match in enumerate(_BLOCK.finditer(document.read_text(encoding="utf-8")), 1)
        if match["kind"].strip() == kind
    ]


def without_blocks(text: str) -> str:
    return _BLOCK.sub("", text)


# ---- files that are shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", blocks("yaml backend"))
def test_a_backend_file_in_a_document_validates_and_renders(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text, encoding="utf-8")
    assert validate_file(file) == []
    backend = load_backend(str(file)).backend
    actions = dict(life_cycle(backend, a_job(backend, cpu=2, ram_bytes=2**30, walltime_s=300), backend.workspace))
    script = actions.get("script") or actions["document"]
    assert {"submit", "monitor", "find", "kill"} <= actions.keys()
    assert f"{backend.directive_prefix} " in script


@pytest.mark.parametrize("text", blocks("yaml backend"))
def test_a_backend_file_in_a_document_passes_adapter_test(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text, encoding="utf-8")
    report = examine(str(file), (), rendered)
    assert [f"{row.name}: {row.outcome.why}" for row in report.rows if row.outcome.status is Status.FAILED] == []


def a_job(backend: Backend, **resources: Any) -> Job:
    """A job that *backend* can run: those of *resources* that it knows, and an image where it takes some."""
    image = "ubuntu:22.04" if backend.images else None
    asked = {
        field: resources[field]
        for name, field in RESOURCE_FIELDS.items()
        if backend.is_supported(name) and field in resources
    }
    task = Task(steps=(Step(argv=("echo", "it's")),), resources=Resources(**asked), image=image)
    return Job(run="RUN", index=1, task=task)


# What a part of a backend file stands in, unless it says what it extends. A document takes the place of the script.
AROUND: dict[str, Any] = {
    "workspace": "~/jobs",
    "script": "{{ directives }}{% for step in steps %}{{ step.text }}\n{% endfor %}",
    "submit": {"command": "put {{ script }}", "job_id": r"^(?P<job_id>\d+)$"},
    "monitor": {
        "command": "look {{ job_ids | words }}",
        "row": r"^(?P<job_id>\d+) (?P<state>\w+)$",
        "states": {"running": ["R"], "succeeded": ["C"]},
    },
    "kill": {"command": "end {{ job_ids | words }}"},
}


@pytest.mark.parametrize("text", blocks("yaml part"))
def test_a_part_of_a_backend_file_in_a_document_validates_and_renders(text: str, tmp_path: Path) -> None:
    part = yaml.safe_load(text)
    around = {} if "extends" in part else {key: value for key, value in AROUND.items() if key != "script"}
    if not {"extends", "document"} & part.keys():
        around["script"] = AROUND["script"]
    file = tmp_path / "part.yaml"
    file.write_text(yaml.safe_dump({"format": 1, **around, **part}), encoding="utf-8")
    assert [str(problem) for problem in validate_file(file)] == []
    backend = load_backend(str(file)).backend
    assert {"submit", "monitor", "kill"} <= dict(life_cycle(backend, a_job(backend), backend.workspace)).keys()


def test_the_backend_file_on_the_first_screen_is_short() -> None:
    match = _BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert match is not None
    assert match["kind"] == "yaml backend"
    assert len(match["text"].splitlines()) < 25


@pytest.mark.parametrize("text", blocks("yaml task"))
def test_a_task_file_in_a_document_loads(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tasks.yaml"
    file.write_text(text, encoding="utf-8")
    assert load_tasks(file)


@pytest.mark.parametrize("text", blocks("yaml config"))
def test_a_configuration_in_a_document_is_right(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    settings = load_settings({"ADAPTER_CONFIG": str(file), "USER": "ada", "XDG_CONFIG_DIRS": str(tmp_path)})
    assert settings.sources.keys() == yaml.safe_load(text).keys()


def test_every_yaml_block_says_what_it_is() -> None:
    assert blocks("yaml") == []


# ---- commands that are shown -------------------------------------------------------------------------------------


def commands() -> Iterator[Any]:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            for line in match["text"].splitlines() if match["kind"].strip() == "console" else ():
                if re.match(r"\$ (\S*/)?adapter ", line):
                    yield pytest.param(line.removeprefix("$ "), id=f"{shown(document)}: {line[2:80]}")
        for code in re.findall(r"`(adapter [^`]+)`", without_blocks(text)):
            yield pytest.param(code, id=f"{shown(document)}: {code[:80]}")


@pytest.mark.parametrize("line", list(commands()))
def test_a_command_in_a_document_exists_with_its_options(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0])[1:]
    words = words[: words.index("--")] if "--" in words else words
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, f"{line}: no such command"
        command = found
    known = {name for parameter in command.get_params(click.Context(command)) for name in parameter.opts}
    for word in words:
        assert not word.startswith("-") or word.partition("=")[0] in known, f"{line}: no option {word}"


@pytest.mark.parametrize("text", blocks("python run"))
def test_a_program_in_a_document_runs(text: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "ADAPTER_STATE": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
    }
    for name in ("XDG_CONFIG_HOME", "ADAPTER_CONFIG", "ADAPTER_PATH"):
        environment.pop(name, None)
    command = [sys.executable, "-c", text]
    ran = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_make_s_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    named = {name for text in texts for name in re.findall(r"make ([a-z]+(?:-[a-z]+)*)`", text)}
    assert named
    assert named <= targets


# ---- what they refer to ------------------------------------------------------------------------------------------


def headings(document: Path) -> set[str]:
    lines = re.findall(r"^#+ (.*)$", without_blocks(document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", without_blocks(document.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_a_test_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", text):
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
    for path in re.findall(r"`((?:tests|adapter|templates|schemas|docs|examples)/[\w./-]+)`", text):
        if path.rstrip("/").isupper() or "NAME" in path:
            continue
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_no_document_names_a_place_on_somebody_s_machine(document: Path) -> None:
    assert not re.search(r"/(root|work|home|tmp)/", document.read_text(encoding="utf-8"))


def test_the_exit_codes_are_those_of_the_command() -> None:
    assert EXIT_CODES.partition("\n")[2].rstrip() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_error_is_in_the_table_of_errors() -> None:
    def below(kind: type[AdapterError]) -> Iterator[type[AdapterError]]:
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert [each.__name__ for each in below(AdapterError) if f"`{each.__name__}" not in text] == []


def test_the_crash_table_has_every_point_of_the_crash_tests() -> None:
    text = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    assert [what for what in POINTS.values() if f"| {what} |" not in text] == []
    assert len(POINTS) == 14, "the README says fourteen"


# ---- the reference -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["reference-backend.md", "reference-tasks.md", "sysadmins.md", "../README.md"])
def test_the_reference_is_what_the_code_and_the_schemas_say(make_reference: ModuleType, name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert make_reference.filled(committed) == committed, "run: python docs/make_reference.py"


def test_the_reference_uses_every_part_once(make_reference: ModuleType) -> None:
    texts = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in make_reference.FILES)
    used = re.findall(r"<!-- generated: ([\w-]+) -->", texts)
    assert sorted(used) == sorted(make_reference.PARTS)


def test_the_readme_says_what_each_word_of_proof_means(make_reference: ModuleType) -> None:
    words = make_reference.TABLE["backend"]["keys"]["proof"]["enum"]
    assert sorted(make_reference.PROOFS) == sorted(words)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [word for word in words if f"\n| `{word}` | " not in text] == []


def test_a_backend_that_is_proved_by_captures_has_some(make_reference: ModuleType) -> None:
    claimed = [one for one in make_reference.shipped() if one.document.get("proof") in {"captures", "schema"}]
    captures = ROOT / "tests" / "captures"
    assert claimed
    assert [one.name for one in claimed if not any((captures / name).glob("*.yaml") for name in one.lineage)] == []


def keys_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for value in schema.values():
            yield from keys_in(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from keys_in(value)


@pytest.mark.parametrize(("schema", "document"), [("backend", "reference-backend.md"), ("task", "reference-tasks.md")])
def test_every_key_of_a_schema_is_in_its_reference(schema: str, document: str) -> None:
    whole = json.loads((ROOT / "schemas" / f"{schema}.schema.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    named = {part for path in re.findall(r"`([\w.\[\]]+)`", text) for part in re.split(r"[.\[\]]+", path)}
    assert sorted(set(keys_in(whole)) - named) == []
