"""What probes measure along the walk: the plain broker's values at every wake, however the tape is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from over_the_wire import OverTheWire
from scenarios import assert_same, compiled, probed_scenarios

from engine.broker.trees import NODE, Trees
from engine.model_file import InstrumentFacts, Manifest, save_model
from engine.signals import NAMES
from engine.testing.drive import drive
from engine.testing.generators import cuts
from engine.testing.reference import ReferenceBroker

SPLITS = (("queue_imbalance", 0.2), ("ofi_10", 0.0), ("sign_mean_20", 0.1), ("spread_ticks", 1.5), ("momentum_50", 0.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a forest of one tree a signal, with one split each."""
    nodes = [node for k, (name, at) in enumerate(SPLITS) for node in stump(3 * k, NAMES.index(name), at)]
    values = np.random.Generator(np.random.Philox(1)).dirichlet(np.ones(3), 2 * len(SPLITS))
    trees = Trees.of(np.array(nodes, NODE), np.arange(0, len(nodes) + 1, 3), values, n_features=len(NAMES))
    facts = InstrumentFacts(symbol="A", price_unit="1/100", tick=1, size_unit="1", lot=1)
    folder = tmp_path_factory.mktemp("models") / "stumps.model"
    save_model(folder, Manifest(instrument=facts, horizon=10, features=list(NAMES), stale_ns=10**9), trees)
    return str(folder)


def stump(root: int, feature: int, threshold: float) -> list[tuple[float, int, int, int]]:
    leaf = 2 * root // 3
    return [(threshold, feature, root + 1, -1), (np.inf, 0, root + 1, leaf), (np.inf, 0, root + 2, leaf + 1)]


def agree(data: st.DataObject, model: str = "") -> None:
    scenario = data.draw(probed_scenarios(one_pass=data.draw(st.booleans()), model=model))
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(ReferenceBroker, scenario), drive(compiled(), scenario, at))


@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_probes_measure_what_the_plain_broker_measures_while_we_trade_in_any_chunking(data: st.DataObject) -> None:
    agree(data)


@pytest.mark.slow
@settings(max_examples=8)
@given(data=st.data())
def test_a_models_probabilities_along_the_walk_are_its_own_and_wake_when_they_are_high(
    model: str, data: st.DataObject
) -> None:
    agree(data, model)


@pytest.mark.slow
@settings(max_examples=6)
@given(data=st.data())
def test_an_attached_strategy_is_shown_the_signals_of_a_replay(model: str, data: st.DataObject) -> None:
    scenario = data.draw(
        probed_scenarios(one_pass=data.draw(st.booleans()), model=data.draw(st.sampled_from(("", model))))
    )
    at = data.draw(cuts(len(scenario.tape)))
    assert_same(drive(OverTheWire, scenario, at), drive(compiled(), scenario))


@pytest.mark.slow
@given(data=st.data())
def test_probes_agree_with_the_plain_broker_hundreds_of_times(model: str, data: st.DataObject) -> None:
    agree(data, data.draw(st.sampled_from(("", model))))
