"""From objects back to the config that would make them again: what ``run(..., out=...)`` leaves for ``verify``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.config import Config, Risk, StrategyConfig, resolve_paths
from engine.errors import ConfigError
from engine.feed import Feed
from engine.strategy import Strategy


def recipe(
    strategies: Sequence[Strategy],
    feed: Feed,
    *,
    accounts: Sequence[Account],
    broker: BrokerConfig,
    risk: RiskConfig,
    seed: int,
    name: str,
) -> Config:
    """The config of a run of these objects.

    A feed tells how it was made by ``params``, the ``feed_params`` of a config: ``TapeFeed`` and the other feeds do.

    Raises
    ------
    ConfigError
        If a strategy's class cannot be found by name, or if the feed does not say how it was made.
    TapeError
        If a tape was never saved.
    """
    params = getattr(feed, "params", None)
    if not isinstance(params, dict):
        raise ConfigError(
            f"{type(feed).__name__} has no params that say how it was made, so the run cannot be repeated; "
            "leave out= away, or give a feed like feeds.replay.TapeFeed"
        )
    config = Config(
        name=name,
        seed=seed,
        feed=class_name(type(feed)),
        feed_params=params,
        strategies=[
            StrategyConfig(
                strategy=class_name(type(strategy)),
                params=msgspec.to_builtins(strategy.params, enc_hook=str),
                account=account,
                probes=list(strategy.probes),
            )
            for strategy, account in zip(strategies, accounts, strict=True)
        ],
        broker=broker,
        risk=Risk(**msgspec.structs.asdict(risk)),
    )
    return resolve_paths(config, Path.cwd(), name)


def class_name(cls: type) -> str:
    """``package.module:Class``, or ``path/to/file.py:Class`` where the module cannot be imported from everywhere.

    Raises
    ------
    ConfigError
        If the class is defined inside a function, where no name leads to it.
    """
    if "<locals>" in cls.__qualname__:
        raise ConfigError(
            f"{cls.__name__} is defined inside a function, so the run cannot be repeated; "
            "leave out= away, or define it at the top of its file or notebook cell"
        )
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    is_in_package = "." in cls.__module__
    return f"{cls.__module__ if is_in_package or not file else Path(file).resolve()}:{cls.__qualname__}"
