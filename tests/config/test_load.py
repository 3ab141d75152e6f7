from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.config.load import list_backends, load_backend, load_merged, validate_file
from adapter.config.search import search_path, shipped
from adapter.core.backend import merge
from adapter.errors import BackendNotFound, ConfigError

COMPLETE = """format: 1
workspace: /scratch
script: '{{ directives }}'
submit: {command: 'give {{ script }}', job_id: '(?P<job_id>.+)'}
monitor: {command: ask, exit_codes: {0: running, 1: gone}}
kill: {command: 'end {{ job_id }}'}
"""

documents = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@given(documents, documents, documents)
def test_merging_maps_is_associative(one: dict[str, object], two: dict[str, object], three: dict[str, object]) -> None:
    shaped = [as_maps(document) for document in (one, two, three)]
    assert merge(merge(shaped[0], shaped[1]), shaped[2]) == merge(shaped[0], merge(shaped[1], shaped[2]))


def as_maps(value: object, depth: int = 0) -> object:
    """A scalar where another document has a map breaks the law (it wipes the map): keep scalars at one depth."""
    if depth == 3 or not isinstance(value, dict):
        return {"leaf": value if isinstance(value, int) else 0}
    return {key: as_maps(item, depth + 1) for key, item in value.items()}


def put(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_maps_are_merged_lists_replaced_and_null_removes(tmp_path: Path) -> None:
    put(tmp_path / ".adapter", "base.yaml", COMPLETE + "needs: [a, b]\nvalues: {x: 1, y: 2}\nlogs: {stdout: a}\n")
    put(tmp_path / ".adapter", "mine.yaml", "format: 1\nextends: base\nneeds: [c]\nvalues: {y: 3}\nlogs: null\n")
    document = load_backend("mine", cwd=tmp_path, environ={}, trust=True).backend.document
    assert document["needs"] == ["c"]
    assert document["values"] == {"x": 1, "y": 3}
    assert "logs" not in document


def test_every_value_is_traced_to_the_line_that_set_it(tmp_path: Path) -> None:
    put(tmp_path / ".adapter", "base.yaml", COMPLETE + "values: {x: 1, y: 2}\n")
    put(tmp_path / ".adapter", "mine.yaml", "format: 1\nextends: base\nvalues:\n  y: 3\n")
    leaves = {leaf.path: leaf[1:] for leaf in load_backend("mine", cwd=tmp_path, environ={}, trust=True).explain()}
    assert leaves["values.x"] == (1, ".adapter/base.yaml", 7)
    assert leaves["values.y"] == (3, ".adapter/mine.yaml", 4)
    assert leaves["submit.command"] == ("give {{ script }}", ".adapter/base.yaml", 4)


def test_the_nearer_folder_wins_and_may_extend_the_one_it_hides(tmp_path: Path) -> None:
    put(tmp_path / "site", "batch.yaml", COMPLETE + "summary: the site's\nneeds: [a]\n")
    put(tmp_path / ".adapter", "batch.yaml", "format: 1\nextends: batch\nsummary: mine\n")
    loaded = load_backend("batch", cwd=tmp_path, environ={"ADAPTER_PATH": str(tmp_path / "site")}, trust=True)
    assert loaded.backend.summary == "mine"
    assert loaded.backend.needs == ("a",)
    assert loaded.backend.lineage == ("batch",)


def test_the_search_path_has_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/.config")
    shown = [folder.shown for folder in search_path({"ADAPTER_PATH": "/one:/two"}, tmp_path)]
    assert shown[:4] == [".adapter", "/one", "/two", "/home/me/.config/adapter/backends"]
    assert shown[-1] == str(shipped("templates"))


def test_an_unknown_name_names_the_nearest_one(tmp_path: Path) -> None:
    put(tmp_path / ".adapter", "cluster.yaml", COMPLETE)
    with pytest.raises(BackendNotFound, match=r"no backend 'clutser'; did you mean 'cluster'\?; looked in .adapter, "):
        load_backend("clutser", cwd=tmp_path, environ={})


def test_an_abstract_backend_can_be_shown_and_not_used(tmp_path: Path) -> None:
    put(tmp_path, "base.yaml", "format: 1\nname: base\nabstract: true\n")
    assert load_merged("base.yaml", cwd=tmp_path, environ={}).document["abstract"] is True
    with pytest.raises(ConfigError) as caught:
        load_backend("base.yaml", cwd=tmp_path, environ={})
    assert str(caught.value) == "base.yaml:3:11: backend 'base' is abstract: write one that extends it, and use that"


def test_a_wrong_file_is_listed_with_its_first_problem(tmp_path: Path) -> None:
    put(tmp_path / ".adapter", "wrong.yaml", "format: 2\nabstract: true\n")
    entry = next(entry for entry in list_backends(cwd=tmp_path, environ={}) if entry.name == "wrong")
    assert entry.error == ".adapter/wrong.yaml:1:9: format: found the number 2, expected 1"


@pytest.mark.parametrize(
    "name", sorted(item.name for item in shipped("templates").iterdir() if item.name.endswith(".yaml"))
)
def test_the_shipped_backends_are_right(name: str) -> None:
    assert validate_file(Path(str(shipped("templates"))) / name) == []
