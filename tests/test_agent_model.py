"""An agent's folder: it comes back as it was saved, and nothing else comes back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_agent import agent_arrays, agent_manifest, random_agent, random_weights

from engine.agent_model import DTYPES, AgentArrays, AgentManifest, load_agent, save_agent
from engine.array_folder import content_of, digest, text_of
from engine.errors import ConfigError
from engine.shipped import shipped_folder

FILES = ["manifest.json", *(f"{name}.npy" for name in DTYPES)]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents") / "x.agent"
    random_agent(folder, 4)
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "x.agent"


def copied(agent: Path, scratch: Path) -> Path:
    shutil.rmtree(scratch, ignore_errors=True)
    return Path(shutil.copytree(agent, scratch))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_agent(folder)
    told = str(caught.value)
    assert "\n" not in told
    assert str(folder) in told
    return told


def test_an_agent_comes_back_as_it_was_saved(agent: Path, tmp_path: Path) -> None:
    opened = load_agent(agent)
    saved = random_weights(4)._asdict() | agent_arrays(4)._asdict()
    for name, array in (opened.weights._asdict() | opened.arrays._asdict()).items():
        assert array.dtype == DTYPES[name]
        assert np.array_equal(array, saved[name])
    save_agent(tmp_path / "again.agent", opened.manifest, opened.weights, opened.arrays)
    for name in FILES:
        assert (tmp_path / "again.agent" / name).read_bytes() == (agent / name).read_bytes()
    assert load_agent(agent, content=opened.manifest.content).manifest == opened.manifest
    with pytest.raises(ConfigError, match="was asked for"):
        load_agent(agent, content="0" * 64)


@settings(max_examples=60)
@given(name=st.sampled_from(FILES), place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(agent: Path, scratch: Path, name: str, place: int, bit: int) -> None:
    file = copied(agent, scratch) / name
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= 1 << bit
    file.write_bytes(data)
    refused(scratch)


@settings(max_examples=40)
@given(name=st.sampled_from(FILES), data=st.binary(max_size=300))
def test_any_other_content_is_refused(agent: Path, scratch: Path, name: str, data: bytes) -> None:
    (copied(agent, scratch) / name).write_bytes(data)
    refused(scratch)


def test_missing_huge_and_waiting_files_are_refused_and_so_is_a_forest(agent: Path, scratch: Path) -> None:
    for name in FILES:
        file = copied(agent, scratch) / name
        os.truncate(file, 1 << 40)
        assert "is no file of at most" in refused(scratch)
        file.unlink()
        assert "No such file" in refused(scratch)
        os.mkfifo(file)
        assert "is no file of at most" in refused(scratch)
    assert "no manifest of a model" in refused(shipped_folder("configs") / "models" / "DEMO_20.model")


def forged(folder: Path, **fields: object) -> None:
    """A manifest with other content and right hashes: what damage cannot make, but people can."""
    file = folder / "manifest.json"
    plain = msgspec.json.decode(file.read_bytes())
    plain.update(fields, content="")
    blank = msgspec.convert(plain, AgentManifest)
    file.write_bytes(text_of(msgspec.structs.replace(blank, content=content_of(blank))))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format": 2}, "format 2, this engine reads 1"),
        ({"inputs": ["progress"]}, "its inputs are"),
        ({"inputs": ["progress", "elapsed", "alpha", "spread_cost", "fill", "size"]}, r"w1 has shape \[50, 7\]"),
        ({"pov": 0.0}, "its pov is 0.0"),
        ({"lots": 0}, "it has 0 lots"),
        ({"lots": 21}, r"visited has shape \[40, 21\]"),
        ({"step_s": 0.0}, "its step_s is 0.0"),
        ({"trained": [(9, 5)]}, "ends before it begins"),
        ({"arrays": {}}, "disagree about the array"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_though_its_hash_is_right(
    agent: Path, scratch: Path, fields: dict[str, object], complaint: str
) -> None:
    forged(copied(agent, scratch), **fields)
    with pytest.raises(ConfigError, match=complaint):
        load_agent(scratch)


@pytest.mark.parametrize("shape", [[], [0], [-1], [1 << 60, 1 << 60], [1 << 40]])
def test_a_shape_that_cannot_be_is_refused(agent: Path, scratch: Path, shape: list[int]) -> None:
    arrays = msgspec.to_builtins(load_agent(agent).manifest.arrays)
    arrays["w1"]["shape"] = shape
    forged(copied(agent, scratch), arrays=arrays)
    assert "empty or beyond" in refused(scratch)


HOSTILE = [
    ("w1", np.nan, "w1 holds a number that is not finite"),
    ("spread_cost", np.inf, "spread_cost holds a number that is not finite"),
    ("fill", 1.5, "fill is outside 0 … 1"),
    ("alpha_move", 0.5, "alpha_move does not add up to 1"),
    ("alpha", 2.0, "alpha is outside -1 … 1"),
    ("level", 4, "a level is not one of"),
    ("size", -1, "a size is negative"),
    ("visited", -1, "visited is negative"),
]


@pytest.mark.parametrize(("name", "value", "complaint"), HOSTILE)
def test_numbers_that_cannot_be_are_refused_though_their_hashes_are_right(
    agent: Path, scratch: Path, name: str, value: float, complaint: str
) -> None:
    file = copied(agent, scratch) / f"{name}.npy"
    array = np.load(file, allow_pickle=False)
    array.reshape(-1)[-1] = value
    np.save(file, array)
    arrays = msgspec.to_builtins(load_agent(agent).manifest.arrays)
    arrays[name]["blake2b"] = digest(file.read_bytes())
    forged(scratch, arrays=arrays)
    assert complaint in refused(scratch)


def test_nothing_that_is_no_agent_is_written_and_nothing_is_replaced_unless_told_to(tmp_path: Path) -> None:
    arrays = agent_arrays(1)
    all_trade = AgentArrays(**(arrays._asdict() | {"level": arrays.level | 1, "size": np.maximum(arrays.size, 1)}))
    with pytest.raises(ConfigError, match="no placement is to wait"):
        save_agent(tmp_path / "x.agent", agent_manifest(), random_weights(1), all_trade)
    assert not (tmp_path / "x.agent").exists()
    save_agent(tmp_path / "x.agent", agent_manifest(), random_weights(1), arrays)
    with pytest.raises(ConfigError, match="exists; name another folder"):
        save_agent(tmp_path / "x.agent", agent_manifest(), random_weights(1), arrays)
