"""What ``tickwright vwap gap`` is told: the run whose agent and broker are replayed, and the days."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.errors import ConfigError
from engine.learning.forest_config import StockConfig, data_file
from engine.learning.step_facts import Periods
from engine.learning.toml_config import Seed, read_config


class GapConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the comparison. Data as ``StockConfig`` has it."""

    name: str
    seed: Seed
    run: str  # the config of a run of ``VwapAgent``
    sets: tuple[str, ...] = ()  # laid over it, as --set does
    symbol: str
    tapes: list[str] = []
    form: str = ""
    files: list[str] = []
    options: dict[str, Any] = {}
    after_open_s: Annotated[int, msgspec.Meta(ge=0)] = 1_800
    before_close_s: Annotated[int, msgspec.Meta(ge=0)] = 900
    block: Annotated[int, msgspec.Meta(ge=1)] = 3  # consecutive periods that the bootstrap keeps together
    draws: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 10_000

    @property
    def stock(self) -> StockConfig:
        """What says where its days are."""
        return StockConfig(symbol=self.symbol, tapes=self.tapes, form=self.form, files=self.files, options=self.options)

    def periods(self, each_s: int) -> Periods:
        """When parents are worked."""
        return Periods(after_open_s=self.after_open_s, before_close_s=self.before_close_s, each_s=each_s)


def load_gap_config(file: Path) -> GapConfig:
    """Read it; raises ``ConfigError`` where it cannot be read or does not fit."""
    config = read_config(file, GapConfig)
    if bool(config.tapes) == bool(config.files) or bool(config.files) != bool(config.form):
        raise ConfigError(f"{file}: needs either tapes, or a form with its files")
    return msgspec.structs.replace(config, files=[data_file(name, file) for name in config.files])
