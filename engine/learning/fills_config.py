"""What ``tickwright train fills`` is told: a TOML file of stocks, and how virtual orders are placed in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from engine.broker.models import Queue
from engine.errors import ConfigError
from engine.learning.fill_probability import ESTIMATORS, ForestSettings
from engine.learning.forest_config import StockConfig, data_file
from engine.learning.toml_config import Seed, read_config

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class FillsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the tables. Of each stock's data ``StockConfig`` tells, as for forests."""

    name: str
    seed: Seed
    sizes: tuple[Positive, ...] = (0.5, 1, 2, 4, 8, 16, 32)  # mean trades
    horizons: tuple[Seconds, ...] = (2, 5, 10, 20, 45, 90, 180)  # s; the last is how long an order is followed
    every_s: Seconds = 15.0  # between placements on a level and side
    queue: Queue = Queue()
    estimator: Literal["empirical", "logistic", "forest"] = "empirical"  # whose table is kept
    most_judged: Annotated[int, msgspec.Meta(ge=100)] = 20_000  # placements, evenly spread over the test
    draws: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 500  # of the errors' bootstrap
    forest: ForestSettings = ForestSettings()
    stocks: list[StockConfig]


def load_fills_config(file: Path) -> FillsConfig:
    """Read it; files become paths that exist, relative to the config, or to ``$TICKWRIGHT_DATA``.

    Raises
    ------
    ConfigError
        If it cannot be read, has a key or value that does not fit, or names a file that is not there.
    """
    config = read_config(file, FillsConfig)
    _check(config, file)
    stocks = [
        msgspec.structs.replace(one, files=[data_file(name, file) for name in one.files]) for one in config.stocks
    ]
    return msgspec.structs.replace(config, stocks=stocks)


def _check(config: FillsConfig, file: Path) -> None:
    assert config.estimator in ESTIMATORS
    symbols = [one.symbol for one in config.stocks]
    if not symbols or len({*symbols}) < len(symbols):
        raise ConfigError(f"{file}: needs at least one of $.stocks, and each once")
    for name, values in (("sizes", config.sizes), ("horizons", config.horizons)):
        if not values or list(values) != sorted({*values}):
            raise ConfigError(f"{file}: $.{name} is {list(values)}, but must rise")
    if round(config.horizons[-1] * 1e9) % round(config.every_s * 1e9):
        raise ConfigError(
            f"{file}: the last of $.horizons is {config.horizons[-1]:g} s, but must be a multiple of $.every_s, "
            f"{config.every_s:g} s"
        )
    for k, one in enumerate(config.stocks):
        if bool(one.tapes) == bool(one.files) or bool(one.files) != bool(one.form):
            raise ConfigError(f"{file}: $.stocks[{k}] needs either tapes, or a form with its files")
