"""The importers by name, as the command line offers them: each takes files and options, and gives a list of tapes."""

from __future__ import annotations

from collections.abc import Callable

from engine.tape import Tape
from feeds.bars import import_bars
from feeds.columns import import_columns
from feeds.export import import_parquet
from feeds.lobster import import_lobster_files
from feeds.panels import import_panels
from feeds.quotes import import_quotes, import_trades

IMPORTERS: dict[str, Callable[..., list[Tape]]] = {
    "lobster": import_lobster_files,  # (messages, books, *, symbol, date, zone, hours, tick, licence)
    "quotes": import_quotes,  # (quotes, trades, *, symbol, exchange, zone, hours, session_only, sign, ...)
    "trades": import_trades,  # (trades, *, the same)
    "bars": import_bars,  # (bars, *, period, label, symbols, prices_in, price_unit, tick, zone, hours, ...)
    "csv": import_columns,  # (file, columns): any CSV or parquet by a column map in TOML
    "panels": import_panels,  # (columns): closes of a rates market, files and all by a panel map in TOML
    "parquet": import_parquet,  # (path): what export_parquet wrote
}
