"""Files in a folder that somebody else wrote: pipes, devices, files without end, aliases that explode."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from adapter.config.document import MOST_FILE_BYTES, parse, read_file
from adapter.config.load import list_backends, load_backend, validate_file
from adapter.config.settings import load_settings
from adapter.config.tasks import load_tasks
from adapter.errors import ConfigError
from adapter.testkit.capture import find_captures
from tests.config.test_load import COMPLETE, put

NOT_REGULAR = "is not a regular file (a pipe, a socket or a device)"


def pipe(file: Path) -> None:
    os.mkfifo(file)


def device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def endless(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(10**11)  # a file with a hole: a hundred gigabytes that take no room


THINGS = [
    pytest.param(pipe, NOT_REGULAR, id="a pipe"),
    pytest.param(device, NOT_REGULAR, id="a link to a device"),
    pytest.param(endless, "the file is larger than ", id="a file without end"),
    pytest.param(Path.mkdir, "is a folder, not a file", id="a folder"),
]


@pytest.mark.parametrize(("make", "words"), THINGS)
def test_such_a_backend_file_is_an_error_with_its_name(tmp_path: Path, make: object, words: str) -> None:
    (tmp_path / ".adapter").mkdir()
    make(tmp_path / ".adapter" / "odd.yaml")  # type: ignore[operator]
    for name in ("odd", ".adapter/odd.yaml"):
        with pytest.raises(ConfigError) as caught:
            load_backend(name, environ={}, cwd=tmp_path)
        assert str(caught.value).startswith(f".adapter/odd.yaml: {words}")
    [problem] = validate_file(".adapter/odd.yaml", environ={}, cwd=tmp_path)
    assert problem.message.startswith(words)
    assert "odd" in {entry.name for entry in list_backends(environ={}, cwd=tmp_path) if entry.error}


@pytest.mark.parametrize(("make", "words"), THINGS)
def test_such_a_parent_is_an_error_with_its_name(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "odd.yaml")  # type: ignore[operator]
    put(tmp_path, "mine.yaml", "format: 1\nextends: ./odd.yaml\n")
    with pytest.raises(ConfigError, match=r"odd\.yaml: "):
        load_backend("./mine.yaml", environ={}, cwd=tmp_path)


@pytest.mark.parametrize(("make", "words"), THINGS)
@pytest.mark.parametrize("ending", ["yaml", "jsonl"])
def test_such_a_task_file_is_an_error_with_its_name(tmp_path: Path, make: object, words: str, ending: str) -> None:
    file = tmp_path / f"tasks.{ending}"
    make(file)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load_tasks(file)
    assert str(caught.value).startswith(f"{file}: {words}")


@pytest.mark.parametrize(("make", "words"), THINGS)
def test_such_a_configuration_is_an_error_with_its_name(tmp_path: Path, make: object, words: str) -> None:
    file = tmp_path / "config.yaml"
    make(file)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        load_settings({"ADAPTER_CONFIG": str(file)})
    assert str(caught.value).startswith(f"{file}: {words}")


def test_no_configuration_is_asked_for_with_dev_null() -> None:
    assert load_settings({"ADAPTER_CONFIG": "/dev/null"}).default_backend is None


@pytest.mark.parametrize(("make", "words"), THINGS[:3])
def test_such_a_capture_is_a_problem_with_its_name(tmp_path: Path, make: object, words: str) -> None:
    put(tmp_path, "mine.yaml", COMPLETE)
    (tmp_path / "captures" / "mine").mkdir(parents=True)
    make(tmp_path / "captures" / "mine" / "odd.yaml")  # type: ignore[operator]
    loaded = load_backend(str(tmp_path / "mine.yaml"), environ={})
    [problem] = find_captures("mine", loaded.backend.lineage, loaded.provenance).problems
    assert problem.message.startswith(words)


def test_tasks_may_come_through_a_pipe_that_its_user_named(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"command: [echo, hello]\n")
    os.close(writer)
    assert load_tasks(f"/dev/fd/{reader}")[0].steps[0].argv == ("echo", "hello")
    os.close(reader)


def test_a_file_may_be_as_large_as_it_says(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a" * MOST_FILE_BYTES)
    assert len(read_file(file, "x.yaml")) == 1024 * 1024
    file.write_bytes(b"a" * (MOST_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match=r"^x\.yaml: the file is larger than 1 MiB$"):
        read_file(file, "x.yaml")


def nested(before: str, one: str, count: int, sign: str) -> str:
    """Return anchors each of which holds the one before *count* times, twenty deep."""
    end = "]" * before.count("[") + "}" * before.count("{")
    inner = [f"a{n}: &a{n} {before}{one.join([f'{sign}a{n - 1}'] * count)}{end}" for n in range(1, 20)]
    return "\n".join(["a0: &a0 {x: 1}", *inner])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(nested("[", ",", 9, "*"), id="lists of lists"),
        pytest.param(nested("{<<: [", ",", 9, "*"), id="merged maps of merged maps"),
        pytest.param("b: &b " + "x" * 500_000 + "\nc: [" + "*b," * 150_000 + "]", id="one long text many times"),
        pytest.param(
            "b: &b {" + ",".join(f"k{n}: 1" for n in range(20_000)) + "}\nc: {<<: [" + "*b," * 200_000 + "]}",
            id="one large map merged many times",
        ),
        pytest.param(
            "b: &b {x: 1}\nc: {" + ",".join(f"k{n}: 1" for n in range(20_000)) + ",<<: [" + "*b," * 200_000 + "]}",
            id="a small map merged many times into a large one",
        ),
    ],
)
def test_aliases_do_not_blow_a_file_up(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"^x\.yaml:\d+:\d+: aliases make this file too large$"):
        parse(text, "x.yaml")
    assert time.process_time() - began < 20


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every folder")
    (tmp_path / ".adapter").mkdir(mode=0)
    with pytest.raises(ConfigError, match=r"^\.adapter: cannot be read: Permission denied"):
        load_backend("local", environ={}, cwd=tmp_path)


def test_a_backend_file_whose_reading_would_take_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text("format: 1\nname: large\nextends: local\nvalues: {a: [" + "1," * 150_000 + "1]}\n")
    with pytest.raises(ConfigError, match="the file is larger than 256 KiB"):
        load_backend(str(file))
