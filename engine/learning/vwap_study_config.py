"""What ``tickwright vwap study`` is told: arms, each a run of an execution strategy, and the held-out days of parents.

``sets`` of an arm are laid over its run as ``--set`` does. In them ``{symbol}``, ``{daily_volume}``,
``{daily_volatility}`` and ``{day}`` stand for the stock's, and ``{NAME}`` for one of its ``models``: so one arm has a
model for each stock, and for each day where models are trained out of fold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.broker.impact import Market
from engine.config import Config, StrategyConfig, load, make_strategies
from engine.errors import ConfigError
from engine.learning.forest_config import StockConfig, data_file
from engine.learning.parent_study import Arm, HeldOut, Spans, Windows, day_of
from engine.learning.toml_config import Seed, read_config
from engine.shipped import find_config
from engine.spelling import did_you_mean
from engine.strategy import Strategy
from engine.tape import Tape

PLACE = re.compile(r"\{(\w+)\}")


class ArmConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What works the parents."""

    name: str
    run: str  # the config of a run with one strategy, or the name of one that ships
    sets: tuple[str, ...] = ()


class ParentsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stock: its data as ``StockConfig`` has it, of which the first ``skip_days`` are not replayed."""

    symbol: str
    tapes: list[str] = []
    form: str = ""
    files: list[str] = []
    options: dict[str, Any] = {}
    skip_days: Annotated[int, msgspec.Meta(ge=0)] = 0
    windows: Windows | None = None  # instead of the study's: on an only day, those after what models were trained on
    models: dict[str, str] = {}  # folders by name, relative to this config or to where the command is given
    shares: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(min_length=1)]
    market: Market  # the average day, of days before

    @property
    def stock(self) -> StockConfig:
        """What says where its days are."""
        return StockConfig(symbol=self.symbol, tapes=self.tapes, form=self.form, files=self.files, options=self.options)


class VwapStudyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the study."""

    name: str
    seed: Seed
    venue: str  # the run whose broker, limits and seed every arm has
    venue_sets: tuple[str, ...] = ()
    judged: str  # the arm that is held against each of the others
    held_out: HeldOut = "later"
    windows: Windows = Windows(each_s=1_800)
    block: Annotated[int, msgspec.Meta(ge=1)] = 3  # consecutive windows that the bootstrap keeps together
    draws: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 10_000
    participation: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3  # cap of each parent
    every_size: bool = False  # each window with each size, in as many replays
    arms: Annotated[list[ArmConfig], msgspec.Meta(min_length=2)]
    stocks: Annotated[list[ParentsConfig], msgspec.Meta(min_length=1)]


class StockArm:
    """An arm's strategies for one stock, day by day.

    Parameters
    ----------
    arm : ArmConfig
    stock : ParentsConfig
    file : Path
        Of the study.
    """

    def __init__(self, arm: ArmConfig, stock: ParentsConfig, file: Path) -> None:
        self.arm, self.stock, self.file = arm, stock, file
        self._configs: dict[str, Config] = {}

    def config(self, tape: Tape) -> Config:
        """The arm's run on a day, everything filled in."""
        day = day_of(tape)
        if day not in self._configs:
            sets = [self._filled(text, day) for text in self.arm.sets]
            found = load(find_config(self.arm.run), sets=sets)
            if len(found.strategies) != 1:
                raise ConfigError(
                    f"{self.file}: arm {self.arm.name}: {self.arm.run} has not one strategy; name another"
                )
            self._configs[day] = found
        return self._configs[day]

    def trained(self, tape: Tape) -> dict[str, Spans]:
        """By folder, what each model was trained on that the arm would use on a day: [first, last], ns UTC."""
        entry = self.config(tape).strategies[0]
        folders = [probe.model for probe in entry.probes if probe.model] + list(_folders(entry.params))
        return {folder: spans for folder in folders if (spans := _spans(Path(folder))) is not None}

    def make(self, orders: list[dict[str, Any]], tape: Tape) -> Strategy:
        """A fresh strategy for the parents of a day."""
        config = self.config(tape)
        entry: StrategyConfig = config.strategies[0]
        told = msgspec.structs.replace(entry, params={**entry.params, "orders": orders})
        named = f"{self.file}: arm {self.arm.name}"
        strategies, _ = make_strategies(msgspec.structs.replace(config, name=named, strategies=[told]))
        return strategies[0]

    def as_arm(self) -> Arm:
        """What the study is given."""
        return Arm(self.arm.name, self.make)

    def _filled(self, text: str, day: str) -> str:
        known = {"symbol": self.stock.symbol, "day": day, **msgspec.to_builtins(self.stock.market)}

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name in self.stock.models:
                return _folder(
                    PLACE.sub(lambda one: str(known.get(one[1], one[0])), self.stock.models[name]), self.file
                )
            if name not in known:
                hint = did_you_mean(name, [*known, *self.stock.models])
                raise ConfigError(f"{self.file}: arm {self.arm.name}: {self.stock.symbol} has no {{{name}}}{hint}")
            return str(known[name])

        return PLACE.sub(fill, text)


def load_vwap_study_config(file: Path) -> VwapStudyConfig:
    """Read it; files become paths that exist.

    Raises
    ------
    ConfigError
        If it cannot be read, has a key or value that does not fit, or names a file that is not there.
    """
    config = read_config(file, VwapStudyConfig)
    _check(config, file)
    stocks = [
        msgspec.structs.replace(one, files=[data_file(name, file) for name in one.files]) for one in config.stocks
    ]
    return msgspec.structs.replace(config, stocks=stocks)


def _check(config: VwapStudyConfig, file: Path) -> None:
    names = [arm.name for arm in config.arms]
    if len({*names}) < len(names):
        raise ConfigError(f"{file}: names an arm twice; each needs a name of its own")
    if config.judged not in names:
        raise ConfigError(f"{file}: $.judged is '{config.judged}', which is no arm{did_you_mean(config.judged, names)}")
    symbols = [one.symbol for one in config.stocks]
    if len({*symbols}) < len(symbols):
        raise ConfigError(f"{file}: names a stock twice; give all of its days in one place")
    for k, one in enumerate(config.stocks):
        if bool(one.tapes) == bool(one.files) or bool(one.files) != bool(one.form):
            raise ConfigError(f"{file}: $.stocks[{k}] needs either tapes, or a form with its files")


def _folder(name: str, file: Path) -> str:
    for path in (file.parent / name, Path(name)):
        if path.is_dir():
            return str(path.resolve())
    raise ConfigError(f"{file}: no folder {name}, here or beside the config; train the model first")


def _folders(params: Any) -> Iterator[str]:
    """Texts among parameters that name a folder with a manifest, at any depth."""
    if isinstance(params, str):
        if params and (Path(params) / "manifest.json").is_file():
            yield params
    elif isinstance(params, dict):
        for value in params.values():
            yield from _folders(value)
    elif isinstance(params, (list, tuple)):
        for value in params:
            yield from _folders(value)


class _Facts(msgspec.Struct):
    """What any model's manifest says; a tape's has no such key, and a strategy refuses later tapes itself."""

    trained: list[tuple[int, int]] | None = None


def _spans(folder: Path) -> Spans | None:
    try:
        return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Facts).trained
    except OSError as error:
        raise ConfigError(f"{folder}: manifest.json cannot be read ({error.strerror}); train the model again") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder}: no manifest of a model ({error}); train the model again") from None
