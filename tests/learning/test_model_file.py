from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_trees import random_rows, random_trees

from engine.array_folder import content_of, digest, text_of
from engine.errors import ConfigError
from engine.model_file import DTYPES, Band, InstrumentFacts, Manifest, load_model, save_model

FILES = ["manifest.json", *(f"{name}.npy" for name in DTYPES)]
STOCK = InstrumentFacts(symbol="XYZ", price_unit="1/10000", tick=100, size_unit="1", lot=1)
CDF = [(1_000, 0.1), (50_000, 0.5), (2_000_000, 1.0)]


def manifest() -> Manifest:
    return Manifest(
        instrument=STOCK,
        horizon=20,
        features=["a", "b", "c", "d"],
        band=Band(rule="spread", fraction=0.5),
        trained=[(5, 9)],
        metrics={"macro AUC": 0.1 + 0.2},
        settings={"trees": 6, "balance": "weights"},
        horizon_cdf=CDF,
        stale_ns=2_000_000,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "xyz.model"
    save_model(folder, manifest(), random_trees(4))
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "xyz.model"


def copied(model: Path, scratch: Path) -> Path:
    shutil.rmtree(scratch, ignore_errors=True)
    return Path(shutil.copytree(model, scratch))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_model(folder)
    told = str(caught.value)
    assert "\n" not in told
    assert str(folder) in told
    return told


def test_a_model_comes_back_as_it_was_saved(model: Path, tmp_path: Path) -> None:
    opened = load_model(model)
    trees, rows = random_trees(4), random_rows(4, 20)
    assert np.array_equal(opened.trees.probabilities(rows), trees.probabilities(rows))
    assert opened.manifest == msgspec.structs.replace(
        manifest(), arrays=opened.manifest.arrays, content=opened.manifest.content
    )
    save_model(tmp_path / "again.model", opened.manifest, opened.trees)
    for name in FILES:
        assert (tmp_path / "again.model" / name).read_bytes() == (model / name).read_bytes()


def test_its_arrays_are_plain_npy_files(model: Path) -> None:
    trees = random_trees(4)
    for name in DTYPES:
        assert np.array_equal(np.load(model / f"{name}.npy", allow_pickle=False), getattr(trees, name))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(model: Path, scratch: Path, name: str, place: int, bit: int) -> None:
    file = copied(model, scratch) / name
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= 1 << bit
    file.write_bytes(data)
    refused(scratch)


@given(name=st.sampled_from(FILES), part=st.floats(0, 1, exclude_max=True), extra=st.binary(max_size=3))
def test_any_cut_or_lengthened_file_is_refused(
    model: Path, scratch: Path, name: str, part: float, extra: bytes
) -> None:
    file = copied(model, scratch) / name
    data = file.read_bytes()
    file.write_bytes(data + extra if extra else data[: int(part * len(data))])
    refused(scratch)


@given(name=st.sampled_from(FILES), data=st.binary(max_size=300))
def test_any_other_content_is_refused(model: Path, scratch: Path, name: str, data: bytes) -> None:
    (copied(model, scratch) / name).write_bytes(data)
    refused(scratch)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FILES, 2)))
def test_files_that_changed_places_are_refused(model: Path, scratch: Path, first: str, second: str) -> None:
    copied(model, scratch)
    shutil.copy(model / second, scratch / first)
    assert first in refused(scratch)
    shutil.copy(model / first, scratch / second)
    refused(scratch)


def test_an_array_of_another_model_is_refused(model: Path, scratch: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other.model", manifest(), random_trees(5))
    for name in DTYPES:
        shutil.copy(tmp_path / "other.model" / f"{name}.npy", copied(model, scratch) / f"{name}.npy")
        assert f"{name}.npy: " in refused(scratch)


def test_a_missing_file_is_refused(model: Path, scratch: Path) -> None:
    for name in FILES:
        (copied(model, scratch) / name).unlink()
        assert "No such file" in refused(scratch)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_or_a_folder_instead_of_a_file_is_refused_without_waiting(model: Path, scratch: Path, name: str) -> None:
    file = copied(model, scratch) / name
    file.unlink()
    os.mkfifo(file)
    assert "is no file of at most" in refused(scratch)
    file.unlink()
    file.mkdir()
    refused(scratch)


def test_a_huge_file_is_refused_before_it_is_read(model: Path, scratch: Path) -> None:
    for name in FILES:
        file = copied(model, scratch) / name
        os.truncate(file, 1 << 40)  # holes: takes no disk
        assert "is no file of at most" in refused(scratch)


def forged(scratch: Path, **fields: object) -> None:
    """A manifest with other content and right hashes: what damage cannot make, but people can."""
    file = scratch / "manifest.json"
    plain = msgspec.json.decode(file.read_bytes())
    plain.update(fields, content="")
    blank = msgspec.convert(plain, Manifest)
    file.write_bytes(text_of(msgspec.structs.replace(blank, content=content_of(blank))))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format": 2}, "format 2, this engine reads 1"),
        ({"features": ["a", "b", "c"]}, r"feature is \d|trees of 4 features"),
        ({"features": ["a", "a", "b", "c"]}, "features in the manifest cannot be"),
        ({"classes": ["up", "flat", "down"]}, "classes in the manifest cannot be"),
        ({"horizon": 0}, "horizon in the manifest cannot be"),
        ({"stale_ns": -1}, "stale_ns in the manifest cannot be"),
        ({"horizon_cdf": [(5, 0.5), (4, 0.6)]}, "horizon_cdf in the manifest cannot be"),
        ({"horizon_cdf": [(5, 0.5), (6, 0.4)]}, "horizon_cdf in the manifest cannot be"),
        ({"horizon_cdf": [(5, 1.5)]}, "horizon_cdf in the manifest cannot be"),
        ({"trained": [(9, 5)]}, "trained in the manifest cannot be"),
        ({"arrays": {}}, "disagree about the array"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_though_its_hash_is_right(
    model: Path, scratch: Path, fields: dict[str, object], complaint: str
) -> None:
    forged(copied(model, scratch), **fields)
    with pytest.raises(ConfigError, match=complaint):
        load_model(scratch)


@pytest.mark.parametrize("shape", [[], [0], [-1], [1 << 60, 1 << 60], [1 << 40]])
def test_a_shape_that_cannot_be_is_refused(model: Path, scratch: Path, shape: list[int]) -> None:
    arrays = msgspec.to_builtins(load_model(model).manifest.arrays)
    arrays["nodes"]["shape"] = shape
    forged(copied(model, scratch), arrays=arrays)
    assert "empty or beyond" in refused(scratch)


@given(seed=st.integers(0, 10_000), place=st.integers(0, 10_000), value=st.integers(-3, 60))
@settings(max_examples=30)
def test_a_forged_tree_with_right_hashes_is_refused(
    model: Path, scratch: Path, seed: int, place: int, value: int
) -> None:
    nodes = random_trees(4).nodes.copy()
    k = place % len(nodes)
    if nodes["left"][k] == value:
        return
    nodes["left"][k] = value
    copied(model, scratch)
    np.save(scratch / "nodes.npy", nodes)
    arrays = msgspec.to_builtins(load_model(model).manifest.arrays)
    arrays["nodes"]["blake2b"] = digest((scratch / "nodes.npy").read_bytes())
    forged(scratch, arrays=arrays)
    refused(scratch)


@pytest.mark.parametrize("depth", [10, 100_000])
def test_a_manifest_that_nests_without_end_is_refused(model: Path, scratch: Path, depth: int) -> None:
    (copied(model, scratch) / "manifest.json").write_bytes(b'{"settings":' + b'{"a":' * depth)
    refused(scratch)


def test_the_content_that_was_asked_for_is_held_against_what_is_there(model: Path) -> None:
    content = load_model(model).manifest.content
    assert load_model(model, content=content).manifest.content == content
    with pytest.raises(ConfigError, match="was asked for"):
        load_model(model, content="0" * 64)


def test_nothing_is_replaced_unless_told_to(model: Path, scratch: Path) -> None:
    copied(model, scratch)
    with pytest.raises(ConfigError, match="exists; name another folder"):
        save_model(scratch, manifest(), random_trees(4))
    with pytest.raises(ConfigError, match="holds no model"):
        save_model(scratch.parent, manifest(), random_trees(5), overwrite=True)
    save_model(scratch, manifest(), random_trees(5), overwrite=True)
    assert len(load_model(scratch).trees.nodes) == len(random_trees(5).nodes)


def test_a_manifest_that_does_not_fit_the_trees_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trees of 5 features"):
        save_model(tmp_path / "x.model", manifest(), random_trees(1, n_features=5))
    assert not (tmp_path / "x.model").exists()
