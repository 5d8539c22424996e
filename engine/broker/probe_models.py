"""The models of probes: opened once, and refused where they do not fit what a probe measures."""

from __future__ import annotations

from engine.errors import ConfigError
from engine.model_file import Model, load_model
from engine.signals import NAMES, Probe


def model_of(probe: Probe) -> Model | None:
    """A probe's model; None where it has none.

    Raises
    ------
    ConfigError
        If the folder is no model, not the one asked for, or made for other signals or another clock.
    """
    if not probe.model:
        return None
    model = load_model(probe.model, content=probe.content)
    facts = model.manifest
    if tuple(facts.features) != NAMES:
        raise ConfigError(
            f"{probe.model}: made for {', '.join(facts.features)}, but a probe gives {', '.join(NAMES)}, "
            "in this order; train it on all of them"
        )
    if facts.clock != probe.clock:
        raise ConfigError(
            f"{probe.model}: counts {facts.clock} ticks, the probe of {probe.symbol} {probe.clock} ticks; "
            f'write clock = "{facts.clock}" or train another model'
        )
    return model
