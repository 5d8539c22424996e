"""What ``tickwright train forest`` is told: a TOML file of stocks, horizons and how the forest is grown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from engine.errors import ConfigError
from engine.learning.forest import ForestSettings
from engine.learning.labels import Rule
from engine.learning.toml_config import Seed, read_config

Horizon = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class StockConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stock's data: ``tapes``, or ``files`` of a form that ``tickwright data import`` knows, with its ``options``."""

    symbol: str
    tapes: list[str] = []
    form: str = ""
    files: list[str] = []
    options: dict[str, Any] = {}
    train_days: int = 0  # the first so many days; the rest test; 0: all but the last
    test_part: float = 0.4  # of the only day
    leave_one_day_out: bool = False


class ForestConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the models."""

    name: str
    seed: Seed
    horizons: tuple[Horizon, ...] = (10, 20, 50, 100, 200)
    clock: Literal["trade", "quote"] = "trade"
    band: Rule = "thirds"
    band_fraction: float = 0.5
    draws: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 200  # of the errors' bootstrap
    study_horizon: int = 20  # of the pictures
    studies: bool = True  # pictures, bias and variance: most of the time
    forest: ForestSettings = ForestSettings()
    stocks: list[StockConfig]


def load_forest_config(file: Path) -> ForestConfig:
    """Read it; files become paths that exist, relative to the config, or to ``$TICKWRIGHT_DATA``.

    Raises
    ------
    ConfigError
        If it cannot be read, has a key or value that does not fit, or names a file that is not there.
    """
    config = read_config(file, ForestConfig)
    _check(config, file)
    stocks = [
        msgspec.structs.replace(one, files=[data_file(name, file) for name in one.files]) for one in config.stocks
    ]
    return msgspec.structs.replace(config, stocks=stocks)


def _check(config: ForestConfig, file: Path) -> None:
    if not config.stocks or not config.horizons:
        raise ConfigError(f"{file}: needs at least one of $.stocks and one of $.horizons")
    symbols = [one.symbol for one in config.stocks]
    if len({*symbols}) < len(symbols) or len({*config.horizons}) < len(config.horizons):
        raise ConfigError(f"{file}: names a stock or a horizon twice; each needs one")
    if config.studies and config.study_horizon not in config.horizons:
        raise ConfigError(f"{file}: $.study_horizon is {config.study_horizon}; choose one of {config.horizons}")
    for k, one in enumerate(config.stocks):
        if bool(one.tapes) == bool(one.files) or bool(one.files) != bool(one.form):
            raise ConfigError(f"{file}: $.stocks[{k}] needs either tapes, or a form with its files")


def data_file(name: str, config: Path) -> str:
    """Where a file that a config names lies: beside it, or under ``$TICKWRIGHT_DATA``; a ``ConfigError`` if nowhere."""
    beside = config.parent / Path(name).expanduser()
    data = os.environ.get("TICKWRIGHT_DATA")
    for path in (beside, Path(data) / name) if data else (beside,):
        if path.exists():
            return str(path.resolve())
    hint = "" if data else " or set TICKWRIGHT_DATA to the folder that it is in"
    raise ConfigError(f"{config}: no file {beside}; name one that is there{hint}")
