"""What ``tickwright forest placer`` is told: a run of a placer, and the held-out days of its parents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.broker.impact import Market
from engine.errors import ConfigError
from engine.learning.forest_config import StockConfig, data_file
from engine.learning.parent_study import Windows
from engine.learning.toml_config import Seed, read_config


class SubjectConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stock: its data as ``StockConfig`` has it, of which the first ``skip_days`` are not replayed."""

    symbol: str
    tapes: list[str] = []
    form: str = ""
    files: list[str] = []
    options: dict[str, Any] = {}
    skip_days: Annotated[int, msgspec.Meta(ge=0)] = 0  # those that its model was trained on
    model: str  # a folder, relative to this config or to where the command is given
    shares: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(min_length=1)]  # by window in turn
    market: Market  # the average day, of days before

    @property
    def stock(self) -> StockConfig:
        """What says where its days are."""
        return StockConfig(symbol=self.symbol, tapes=self.tapes, form=self.form, files=self.files, options=self.options)


class PlacerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the study."""

    name: str
    seed: Seed
    run: str  # the config of a run of the placer, or the name of one that ships
    sets: tuple[str, ...] = ()  # laid over it
    windows: Windows = Windows()
    block: Annotated[int, msgspec.Meta(ge=1)] = 3  # consecutive windows that the bootstrap keeps together
    draws: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 10_000
    participation: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3  # cap of each parent
    stocks: Annotated[list[SubjectConfig], msgspec.Meta(min_length=1)]


def load_placer_config(file: Path) -> PlacerConfig:
    """Read it; files and models become paths that exist.

    Raises
    ------
    ConfigError
        If it cannot be read, has a key or value that does not fit, or names a file that is not there.
    """
    config = read_config(file, PlacerConfig)
    for k, one in enumerate(config.stocks):
        if bool(one.tapes) == bool(one.files) or bool(one.files) != bool(one.form):
            raise ConfigError(f"{file}: $.stocks[{k}] needs either tapes, or a form with its files")
    return msgspec.structs.replace(config, stocks=[_placed(one, file) for one in config.stocks])


def _placed(one: SubjectConfig, file: Path) -> SubjectConfig:
    beside = file.parent / one.model
    model = str(beside if beside.is_dir() else Path(one.model))
    return msgspec.structs.replace(one, files=[data_file(name, file) for name in one.files], model=model)
