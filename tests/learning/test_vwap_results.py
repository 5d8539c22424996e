"""Results of a training of placement: written and read back whole, or refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_vwap import small_training

from engine.errors import ConfigError
from engine.learning.vwap_results import Kept, load_results, save_results


@pytest.fixture(scope="module")
def kept() -> Kept:
    return small_training(povs=(0.1,), seeds=1)


def test_what_is_read_is_what_was_written(kept: Kept, tmp_path: Path) -> None:
    save_results(tmp_path, *kept)
    found = load_results(tmp_path)
    assert found.results.runs == kept.results.runs
    for ours, theirs in ((found.learned, kept.learned), (found.problems, kept.problems)):
        for name, array in ours._asdict().items():
            assert np.array_equal(array, getattr(theirs, name)), name
    assert found.learned.w1.dtype == np.float32
    assert found.learned.visited.dtype == np.int64


@pytest.mark.parametrize("name", ["w1.npy", "problem_fill.npy", "manifest.json"])
def test_a_changed_byte_is_noticed(kept: Kept, tmp_path: Path, name: str) -> None:
    save_results(tmp_path, *kept)
    file = tmp_path / "results" / name
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ConfigError, match=r"damaged|no manifest"):
        load_results(tmp_path)


def test_arrays_that_do_not_fit_are_named(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reward has shape \(1, 2\), but 1 runs and its fellows need \(1, 4\)"):
        save_results(tmp_path, kept.results, kept.problems, kept.learned._replace(reward=kept.learned.reward[:, :2]))
    with pytest.raises(ConfigError, match=r"visited has shape \(1, 40, 20\), but .* need \(1, 40, 21\)"):
        save_results(
            tmp_path, kept.results, kept.problems, kept.learned._replace(visited=kept.learned.visited[..., 1:])
        )
    two = msgspec.structs.replace(kept.results, runs=kept.results.runs * 2)
    with pytest.raises(ConfigError, match="2 runs"):
        save_results(tmp_path, two, kept.problems, kept.learned)
    none = msgspec.structs.replace(kept.results, runs=[])
    with pytest.raises(ConfigError, match="nothing was trained"):
        save_results(tmp_path, none, kept.problems, kept.learned)


def test_nothing_is_overwritten_unasked_and_nothing_read_where_there_is_nothing(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_results(tmp_path)
    save_results(tmp_path, *kept)
    with pytest.raises(ConfigError, match="exists"):
        save_results(tmp_path, *kept)
    save_results(tmp_path, *kept, overwrite=True)
