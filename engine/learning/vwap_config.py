"""What ``tickwright train vwap`` is told: which problems, which parents, how they are learned and how they are batched.

Exactly one of three sources: ``solvable`` (the problem of docs/placement.md), ``[[tickers]]`` with their days, or a
``[universe]`` of synthetic ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.agent_model import HIDDEN
from engine.broker.impact import Impact, Market, Propagator
from engine.errors import ConfigError
from engine.learning.calibrate import ParentTerms
from engine.learning.deep_q import TrainSettings
from engine.learning.forest_config import StockConfig, data_file
from engine.learning.ticker_days import Measuring
from engine.learning.toml_config import read_config

Pov = Annotated[float, msgspec.Meta(gt=0, le=1)]


class TickerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ticker's days: ``tapes``, ``files`` of a form, or ``synthetic``, the arguments of the synthetic market."""

    symbol: str
    tapes: list[str] = []
    form: str = ""
    files: list[str] = []
    options: dict[str, Any] = {}
    synthetic: dict[str, Any] = {}
    first_day: Annotated[int, msgspec.Meta(ge=0)] = 0  # of those, counted from 0 ...
    days: Annotated[int, msgspec.Meta(ge=0)] = 0  # ... so many are calibrated to; 0: all. Keep some to judge on
    market: Market | None = None  # the average day; measured by default

    @property
    def stock(self) -> StockConfig:
        """What says where its days are."""
        return StockConfig(symbol=self.symbol, tapes=self.tapes, form=self.form, files=self.files, options=self.options)


class UniverseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Synthetic tickers (``engine.learning.universe``), each with a tape of its own to be measured on."""

    tickers: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 700
    seed: Annotated[int, msgspec.Meta(ge=0)] = 7
    date: str = "2026-03-02"
    minutes: tuple[int, int] = (30, 360)  # of the session, that the tapes have


class VwapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the agents."""

    name: str
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]  # each problem is learned with each
    povs: Annotated[tuple[Pov, ...], msgspec.Meta(min_length=1)]
    batch: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 32  # tickers trained as one; it decides bits, workers do not
    solvable: bool = False
    tickers: list[TickerConfig] = []
    universe: UniverseConfig | None = None
    parent: ParentTerms = ParentTerms()
    measuring: Measuring = Measuring()
    impact: Impact = Propagator()
    train: TrainSettings = TrainSettings()


def load_vwap_config(file: Path) -> VwapConfig:
    """Read it; files become paths that exist, relative to the config, or to ``$TICKWRIGHT_DATA``.

    Raises
    ------
    ConfigError
        If it cannot be read, has a key or value that does not fit, or names a file that is not there.
    """
    config = read_config(file, VwapConfig)
    _check(config, file)
    tickers = [_placed(one, file) for one in config.tickers]
    return msgspec.structs.replace(config, tickers=tickers, measuring=_found(config, file))


def _placed(ticker: TickerConfig, file: Path) -> TickerConfig:
    return msgspec.structs.replace(ticker, files=[data_file(name, file) for name in ticker.files])


def _found(config: VwapConfig, file: Path) -> Measuring:
    forecast = config.measuring.forecast
    if forecast.by in ("imbalance", "forest"):
        return config.measuring
    forecast = msgspec.structs.replace(forecast, by=data_file(forecast.by, file))
    return msgspec.structs.replace(config.measuring, forecast=forecast)


def _check(config: VwapConfig, file: Path) -> None:
    sources = int(config.solvable) + bool(config.tickers) + (config.universe is not None)
    if sources != 1:
        raise ConfigError(f"{file}: give exactly one of solvable = true, [[tickers]] and [universe]; it has {sources}")
    symbols = [one.symbol for one in config.tickers]
    if len({*symbols}) < len(symbols):
        raise ConfigError(f"{file}: names a ticker twice; each needs one name")
    for name, values in (("seeds", config.seeds), ("povs", config.povs)):
        if len({*values}) < len(values):
            raise ConfigError(f"{file}: $.{name} has a value twice: {values}")
    _check_that_nothing_is_told_twice(config, file)
    if config.train.hidden != HIDDEN:
        raise ConfigError(f"{file}: $.train.hidden is {config.train.hidden}, but agents have {HIDDEN}; leave it out")
    if config.solvable:
        _check_parent_of_solvable(config.parent, file)
    if min(config.seeds) < 0:
        raise ConfigError(f"{file}: $.seeds has {min(config.seeds)}, but seeds are >= 0")
    if not config.solvable and config.measuring.periods.each_s % config.parent.steps:
        raise ConfigError(
            f"{file}: a period of {config.measuring.periods.each_s} s does not divide into {config.parent.steps} steps "
            "of whole seconds; change $.measuring.periods.each_s or $.parent.steps"
        )
    for k, one in enumerate(config.tickers):
        if bool(one.tapes) + bool(one.files) + bool(one.synthetic) != 1 or bool(one.files) != bool(one.form):
            raise ConfigError(f"{file}: $.tickers[{k}] needs one of tapes, a form with its files, and synthetic")


def _check_that_nothing_is_told_twice(config: VwapConfig, file: Path) -> None:
    plain = VwapConfig(name="", seeds=(), povs=())
    told = (("train", "seed", "$.seeds"), ("train", "device", "--device"), ("parent", "pov", "$.povs"))
    for part, name, where in told:
        if (value := getattr(getattr(config, part), name)) != getattr(getattr(plain, part), name):
            raise ConfigError(f"{file}: $.{part}.{name} is {value!r}, but is told by {where}; leave it out there")


def _check_parent_of_solvable(parent: ParentTerms, file: Path) -> None:
    """Its parents are those of docs/placement.md; only the objective and the targets can be chosen."""
    plain = ParentTerms(objective=parent.objective)
    for name in ParentTerms.__struct_fields__:
        if (value := getattr(parent, name)) != getattr(plain, name):
            raise ConfigError(
                f"{file}: $.parent.{name} is {value!r}, but solvable = true has a parent of its own, of which only the "
                "objective, and the targets in $.povs, can be chosen; leave it out"
            )
