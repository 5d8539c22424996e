"""The same run in a world that our own orders do not move: what impact did is the difference."""

from __future__ import annotations

import msgspec

from engine.broker.impact import NoImpact
from engine.config import Config, build
from engine.result import Result
from engine.run import Watch, run


def without_impact(config: Config, *, watch: Watch | None = None) -> Result:
    """Run a config again with ``impact`` none, in memory; raises as ``build`` and ``run``.

    The strategy decides anew: it sees a market without its footprint, and may trade otherwise.
    """
    setup = build(msgspec.structs.replace(config, broker=msgspec.structs.replace(config.broker, impact=NoImpact())))
    return run(
        setup.strategies,
        setup.feed,
        accounts=setup.accounts,
        broker=setup.config.broker,
        risk=setup.config.risk,
        seed=setup.config.seed,
        name=setup.config.name,
        watch=watch,
    )
