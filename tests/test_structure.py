"""What holds for the whole package: no scheduler's name in Python, the tree of errors, and the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapter import errors

ROOT = Path(__file__).parents[1]
SCHEDULERS = re.compile(
    r"slurm|sbatch|squeue|bsub|bjobs|qsub|qstat|condor|docker|podman|kubectl|apptainer|funnel", re.IGNORECASE
)


@pytest.mark.parametrize("path", sorted((ROOT / "adapter").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_scheduler_is_named_in_python(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [
        f"{path.name}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if SCHEDULERS.search(line)
    ] == []


def drawn_tree() -> dict[str, tuple[str | None, int | None]]:
    """Each error in the docstring: the one it stands under, and the exit code beside it."""
    tree: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^(?P<stem>    [│├└─ ]*)(?P<names>[A-Z]\w+)(?:\s+(?P<code>\d+))?(?:\s{2,}|$)", line)
        if match is None:
            continue
        depth = len(match["stem"])
        above = [(level, name) for level, name in above if level < depth]
        tree[match["names"]] = (above[-1][1] if above else None, int(match["code"]) if match["code"] else None)
        above.append((depth, match["names"]))
    return tree


def test_the_tree_of_errors_is_as_drawn() -> None:
    kinds = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    real = {
        name: kind.__bases__[0].__name__ if kind is not errors.AdapterError else None for name, kind in kinds.items()
    }
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == real


def test_every_error_has_the_exit_code_drawn_beside_it_or_its_parent() -> None:
    tree = drawn_tree()
    expected: dict[str, int] = {}
    for name, (parent, code) in tree.items():
        expected[name] = code if code is not None else expected[parent] if parent else 1
    assert {name: getattr(errors, name).exit_code for name in tree} == expected
    assert {parent for _, (parent, code) in tree.items() if code is None} - {None} <= set(tree)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which only the wheel was installed, far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def in_bare(bare: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    env = {**kept, "PYTHONPATH": str(bare / "site"), "HOME": str(bare / "home"), "PYTHONSAFEPATH": "1"}
    return subprocess.run(command, cwd=bare, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_wheel_is_what_runs_there(bare: Path) -> None:
    done = in_bare(bare, sys.executable, "-c", "import adapter; print(adapter.__file__)")
    assert done.stdout == f"{bare / 'site' / 'adapter' / '__init__.py'}\n", done.stderr


@pytest.mark.parametrize("folder", ["templates", "schemas"])
def test_the_wheel_carries_every_template_and_schema(bare: Path, folder: str) -> None:
    carried = contents(bare / "site" / "adapter" / "_data" / folder)
    assert carried == contents(ROOT / folder)
    assert carried


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_installed_command_runs_with_a_simulated_scheduler(bare: Path) -> None:
    adapter = [sys.executable, str(bare / "site" / "bin" / "adapter")]
    done = in_bare(bare, *adapter, "simulate", "slurm", "--", "sbatch", "--parsable", "--hold", "--wrap", "true")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_installed_command_lists_the_shipped_backends(bare: Path) -> None:
    done = in_bare(bare, sys.executable, str(bare / "site" / "bin" / "adapter"), "backends", "list")
    assert done.returncode == 0, done.stderr
    for template in (ROOT / "templates").glob("*.yaml"):
        if not re.search(r"^abstract: true", template.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"\b{template.stem}\b", done.stdout), done.stdout


def test_the_installed_schemas_check_a_file(bare: Path) -> None:
    (bare / "mine.yaml").write_text("format: 1\nname: mine\nextends: local\nsubmitt: x\n", encoding="utf-8")
    done = in_bare(bare, sys.executable, str(bare / "site" / "bin" / "adapter"), "validate", "mine.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "mine.yaml:4:1:" in done.stdout + done.stderr
