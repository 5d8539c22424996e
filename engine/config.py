"""A run as a file: TOML in, frozen structs out, objects from names in one place.

1. ``load`` reads a config, applies ``--set`` and refuses what it does not know, saying what was probably meant.
2. ``build`` makes the feed and the strategies that it names, and nothing else in the engine looks up a name.
3. ``dump`` writes the config as it was resolved, every default spelled out, so that the run can be repeated.

In a config money is in units of currency ("cash = { USD = 10_000_000 }", "taker_per_unit = 0.003"); from here on it
is an integer of micro-units. A date and time means UTC unless it says otherwise, and becomes ns since 1970. What names
a file (a strategy's .py, tapes, parameters ending in path, file, folder or root) is relative to the config's folder.
"""

from __future__ import annotations

import copy
import datetime
import inspect
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine import live_config
from engine.average_day import with_average_days
from engine.broker.models import LIVE, Account, BrokerConfig, OtcRisk, RiskConfig
from engine.errors import ConfigError
from engine.feed import Feed
from engine.instruments import MICRO
from engine.live_config import Live
from engine.names import import_class
from engine.receive_times import check_receive_times
from engine.shipped import shipped_tapes
from engine.signals import Probe
from engine.spelling import did_you_mean, explain
from engine.strategy import Strategy
from engine.tape import Tape
from engine.toml_text import toml_text

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
FEES = ("maker_per_unit", "taker_per_unit")
LIMITS = ("max_notional", "max_gross", "max_net", "daily_loss", "drawdown")
OTC_LIMITS = ("max_notional", "max_open_notional", "max_open_dv01")
LIVE_MUST_SAY = ("max_size", "max_notional", "max_position", "max_gross", "max_net", "daily_loss", "drawdown")
FILE_KEYS = ("path", "file", "folder", "root")  # endings of parameters that name one
LARGEST_FEE = 1_000  # currency per unit of size: more is surely micro-units typed by mistake


class Risk(RiskConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits, and the ``preset`` that gave those the config does not name."""

    preset: Literal["replay", "live"] = "replay"


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is written beside the journal and the results."""

    html: bool = True  # a self-contained page, where the extra `report` is installed
    costs: bool = False  # what parent orders cost and why, after the run (`tickwright costs` says it later, too)


class StrategyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy with its own account."""

    strategy: str  # "strategies.twap:Twap" or "path/to/mine.py:Mine"
    params: dict[str, Any] = {}
    account: Account = msgspec.field(default_factory=Account)
    probes: list[Probe] = []  # instead of those that the strategy declares itself


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides a run. The same config on the same tape gives the same fingerprint."""

    name: str
    seed: int = 0
    feed: str = "feeds.replay:TapeFeed"
    feed_params: dict[str, Any] = {}
    strategies: list[StrategyConfig]
    broker: BrokerConfig = BrokerConfig()
    risk: Risk = Risk()
    report: Report = Report()
    live: Live | None = None


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What ``build`` made: ready to run once."""

    config: Config  # with every parameter of the strategies spelled out
    feed: Feed
    strategies: list[Strategy]

    @property
    def accounts(self) -> list[Account]:
        """One for each strategy, in the same order."""
        return [entry.account for entry in self.config.strategies]


def load(path: str | os.PathLike[str], *, sets: Sequence[str] = (), seed: int | None = None) -> Config:
    """Read a config file.

    Parameters
    ----------
    path : path
        A TOML file; ``name`` defaults to the file's.
    sets : sequence of "dotted.key=value"
        Laid over the file; a value is read as TOML where it is TOML, otherwise as text.
    seed : int, optional
        Instead of the file's.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or has a key or value that does not fit.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); see `tickwright configs` for those that ship"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    data.setdefault("name", file.stem)
    return parse(data, folder=file.parent, where=str(file), sets=sets, seed=seed)


def parse(
    data: Mapping[str, Any],
    *,
    folder: Path | str = ".",
    where: str = "config",
    sets: Sequence[str] = (),
    seed: int | None = None,
) -> Config:
    """The config that ``data``, a file's content as a dictionary, describes; ``where`` is named in errors."""
    data = copy.deepcopy(dict(data))
    data.setdefault("name", "run")
    for setting in sets:
        _apply(setting, data)
    if seed is not None:
        data["seed"] = seed
    try:
        _gather_strategies(data)
        if impact := _table(data, "broker", "impact"):
            impact.setdefault("type", "propagator")  # the default model, with some of its parameters
        preset = _table(data, "risk").get("preset", "live" if "live" in data else "replay")
        _map_money(data, _to_micro)
        if preset == "live":
            data["risk"] = {**_beyond_defaults(LIVE), "preset": preset, **_live_limits(_table(data, "risk"))}
        config = msgspec.convert(_plain(data), Config)
        _check(config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_as_typed(explain(error, Config), data)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {_as_typed(str(error), data)}") from None
    return resolve_paths(config, Path(folder).resolve(), where)


def build(config: Config, *, feed_overrides: Mapping[str, Any] | None = None) -> Setup:
    """Make the feed and the strategies that a config names.

    Parameters
    ----------
    config : Config
    feed_overrides : mapping, optional
        Laid over ``feed_params`` (``start``, ``end``, ``chunks``) without becoming part of the config.

    Raises
    ------
    ConfigError, TapeError
        If a name, a parameter or a tape is wrong.
    """
    strategies, entries = make_strategies(config)
    feed = make_feed(config, feed_overrides)
    try:
        check_receive_times(config.broker, feed)
        broker = with_average_days(config.broker, feed)
    except ConfigError as error:
        raise ConfigError(f"{config.name}: {error}") from None
    return Setup(
        config=msgspec.structs.replace(config, strategies=entries, broker=broker), feed=feed, strategies=strategies
    )


def make_strategies(config: Config) -> tuple[list[Strategy], list[StrategyConfig]]:
    """The strategies alone, and their entries with every parameter spelled out; raises as ``build`` does."""
    strategies: list[Strategy] = []
    entries: list[StrategyConfig] = []
    for n, entry in enumerate(config.strategies):
        at = f"$.strategies[{n}]" if len(config.strategies) > 1 else "$"
        cls = import_class(entry.strategy, Strategy, f"{config.name}: {at}.strategy")
        try:
            params = msgspec.convert(entry.params, cls.Params, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{config.name}: {explain(error, cls.Params, f'{at}.params')}") from None
        strategy = cls(params)
        try:
            strategy.probes = tuple(_pinned(probe) for probe in entry.probes or strategy.probes)
        except ConfigError as error:
            raise ConfigError(f"{config.name}: {at}.probes: {error}") from None
        strategies.append(strategy)
        spelled = {"params": msgspec.to_builtins(strategy.params, enc_hook=str), "probes": list(strategy.probes)}
        entries.append(msgspec.structs.replace(entry, **spelled))
    return strategies, entries


def _pinned(probe: Probe) -> Probe:
    """With the whole path of its model, and the hash of what lies there."""
    if not probe.model:
        return probe
    from engine.broker.probe_models import model_of  # kernels, which a run without models need not load yet

    model = model_of(probe)
    assert model is not None
    path = str(Path(probe.model).expanduser().absolute())
    return msgspec.structs.replace(probe, model=path, content=model.manifest.content)


def make_feed(config: Config, overrides: Mapping[str, Any] | None = None) -> Feed:
    """The feed alone; raises as ``build`` does."""
    params = {**config.feed_params, **(overrides or {})}
    where = f"{config.name}: $.feed_params"
    cls = import_class(config.feed, object, f"{config.name}: $.feed")
    shipped = shipped_tapes()
    tapes = [Tape.load(shipped.get(tape) or tape) for tape in params.pop("tapes", [])]
    takes = inspect.signature(cls).parameters
    if tapes and not any(p.kind is p.VAR_POSITIONAL for p in takes.values()):
        raise ConfigError(f"{where}: {config.feed} takes no tapes")
    named = [name for name, p in takes.items() if p.kind is not p.VAR_POSITIONAL]
    for key in params:
        if key not in named:
            raise ConfigError(f"{where}: unknown field '{key}'{did_you_mean(key, named)}")
    missing = [name for name in named if takes[name].default is inspect.Parameter.empty and name not in params]
    if missing or (not tapes and any(p.kind is p.VAR_POSITIONAL for p in takes.values())):
        raise ConfigError(f"{where}: {config.feed} needs {', '.join(missing) or 'tapes = [...]'}")
    return cls(*tapes, **params)


def dump(config: Config) -> str:
    """The config as TOML that ``load`` reads back equal, every default spelled out."""
    data = msgspec.to_builtins(config)
    _map_money(data, lambda amount, _: _tidy(Decimal(amount) / MICRO))
    return toml_text(data)


def ns_utc(moment: str | datetime.date | datetime.datetime) -> int:
    """ns since 1970 of an ISO 8601 date or time, UTC unless it names an offset; exact to the microsecond."""
    if isinstance(moment, str):
        try:
            moment = datetime.datetime.fromisoformat(moment)
        except ValueError:
            raise ConfigError(
                f"'{moment}' is not a date or time; write it like 2026-01-05 or 2026-01-05T14:30"
            ) from None
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - EPOCH) // datetime.timedelta(microseconds=1) * 1_000


def read_setting(setting: str) -> tuple[str, Any]:
    """``key=value`` as (key, value); the value is read as TOML where it is TOML, otherwise as text."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {setting}: write key=value, like --set broker.queue.model=fifo")
    try:
        return key.strip(), tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text


# Reading


def _as_typed(message: str, data: Mapping[str, Any]) -> str:
    """Paths as the user wrote them, where one strategy stands at the top of the file."""
    return message if len(data.get("strategies") or ()) > 1 else message.replace("$.strategies[0].", "$.")


def _apply(setting: str, data: dict[str, Any]) -> None:
    key, value = read_setting(setting)
    *parents, last = key.split(".")
    at: Any = data
    for step in parents:
        at = (
            at[int(step)]
            if isinstance(at, list) and step.isdigit() and int(step) < len(at)
            else _child(at, step, setting)
        )
    if not isinstance(at, dict):
        raise ConfigError(f"--set {setting}: {'.'.join(parents)} is not a table")
    at[last] = value


def _child(at: Any, step: str, setting: str) -> Any:
    if isinstance(at, list) and step.isdigit() and int(step) < len(at):
        return at[int(step)]
    if not isinstance(at, dict):
        raise ConfigError(f"--set {setting}: there is no table '{step}' to set it in")
    return at.setdefault(step, {})


def _gather_strategies(data: dict[str, Any]) -> None:
    """``strategy``, ``[params]``, ``[account]``, ``[[probes]]`` at the top are short for one of ``[[strategies]]``."""
    single = {key: data.pop(key) for key in ("strategy", "params", "account", "probes") if key in data}
    if single and "strategies" in data:
        raise ConfigError(f"{sorted(single)[-1]} beside [[strategies]]; move it into an entry of that list")
    if single and "strategy" not in single:
        raise ConfigError('no strategy; add strategy = "strategies.twap:Twap" or "path/to/mine.py:Mine"')
    if single:
        data["strategies"] = [single]
    if not data.get("strategies") and _has_clients(data):
        data["strategies"] = []  # a paper broker for a desk's own programs
    elif not data.get("strategies"):
        raise ConfigError('no strategy; add strategy = "strategies.twap:Twap" or "path/to/mine.py:Mine"')


def _has_clients(data: dict[str, Any]) -> bool:
    live = data.get("live")
    return isinstance(live, dict) and bool(live.get("clients"))


def _check(config: Config) -> None:
    names = [entry.account.name for entry in config.strategies]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{names.count(name)} accounts are called '{name}'; give each strategy account = {{ name = ... }}"
            )
    if not config.name or any(letter in config.name for letter in "/\\\0") or config.name.startswith("."):
        raise ConfigError(f"name '{config.name}' cannot name a folder; use letters, digits, - and _")
    if config.live is not None:
        live_config.check(config.live, names)
    if not 0 <= config.seed < 2**63:
        raise ConfigError(f"seed is {config.seed}, but must be in [0, 2^63)")
    for name in FEES:
        if abs(getattr(config.broker.fees, name)) > LARGEST_FEE * MICRO:
            raise ConfigError(
                f"$.broker.fees.{name} is more than {LARGEST_FEE} of currency for one unit; "
                "money in a config is in currency, write 0.003 for 3 tenths of a cent"
            )


def _beyond_defaults(risk: RiskConfig) -> dict[str, Any]:
    defaults = msgspec.to_builtins(RiskConfig())
    return {k: v for k, v in msgspec.to_builtins(risk).items() if v != defaults[k]}


def _live_limits(risk: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in LIVE_MUST_SAY if not risk.get(name)]
    if missing:
        raise ConfigError(
            f"$.risk: preset live needs {', '.join(missing)}; write a limit > 0 for each, "
            'or preset = "replay" if this trades with nobody\'s money'
        )
    return risk


def _table(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data if isinstance(data, dict) else {}


def _list(data: Any) -> Sequence[Any]:
    return data if isinstance(data, (list, tuple)) else ()


def _map_money(data: dict[str, Any], convert: Callable[[Any, str], Any]) -> None:
    """Change every amount of money in place; what is not a number is left for the schema to refuse."""
    tables = [(_table(data, "broker", "fees"), FEES, "$.broker.fees"), (_table(data, "risk"), LIMITS, "$.risk")]
    for kind in OtcRisk.__struct_fields__:
        tables.append((_table(data, "risk", "otc", kind), OTC_LIMITS, f"$.risk.otc.{kind}"))
    for n, entry in enumerate(_list(data.get("strategies"))):
        cash = _table(entry, "account", "cash")
        tables.append((cash, tuple(cash), f"$.strategies[{n}].account.cash"))
    for n, client in enumerate(_list(_table(data, "live").get("clients"))):
        cash = _table(client, "cash")
        tables.append((cash, tuple(cash), f"$.live.clients[{n}].cash"))
    for table, keys, path in tables:
        for key in keys:
            if isinstance(table.get(key), (int, float, Decimal)) and not isinstance(table[key], bool):
                table[key] = convert(table[key], f"{path}.{key}")


def _to_micro(amount: int | float | Decimal, path: str) -> int:
    micro = Decimal(str(amount)) * MICRO
    if not micro.is_finite() or micro != int(micro):
        raise ConfigError(f"{path} is {amount}, but money is a whole number of millionths")
    return int(micro)


def _tidy(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)


def _plain(value: Any) -> Any:
    """Decimals to floats, dates and times to ns."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    return ns_utc(value) if isinstance(value, datetime.date) else value


# Names and paths


def resolve_paths(config: Config, folder: Path, where: str) -> Config:
    """Paths of strategies, tapes and files as absolute ones; tapes that ship keep their short name."""
    entries = []
    for n, entry in enumerate(config.strategies):
        file, colon, name = entry.strategy.rpartition(":")
        if colon and file.endswith(".py"):
            entry = msgspec.structs.replace(entry, strategy=f"{folder / Path(file).expanduser()}:{name}")
        at = f"$.strategies[{n}]" if len(config.strategies) > 1 else "$"
        _absolute(entry.params, folder, f"{where}: {at}.params")
        probes = [
            msgspec.structs.replace(probe, model=str(folder / Path(probe.model).expanduser()) if probe.model else "")
            for probe in entry.probes
        ]
        entry = msgspec.structs.replace(entry, probes=probes)
        entries.append(entry)
    params = dict(config.feed_params)
    if isinstance(params.get("tapes"), str):
        params["tapes"] = [params["tapes"]]
    _absolute(params, folder, f"{where}: $.feed_params")
    live = None if config.live is None else live_config.resolve(config.live, folder, where)
    return msgspec.structs.replace(config, strategies=entries, feed_params=params, live=live)


def _absolute(params: Any, folder: Path, at: str) -> None:
    """Make what names a file absolute, in place, at any depth."""
    if isinstance(params, (list, tuple)):
        for n, item in enumerate(params):
            _absolute(item, folder, f"{at}[{n}]")
    elif isinstance(params, dict):
        for key, value in params.items():
            if key.endswith(FILE_KEYS) and isinstance(value, str) and value:
                params[key] = str(folder / Path(value).expanduser())
            elif key == "tapes" and isinstance(value, (list, tuple)):
                params[key] = [_tape_name(tape, folder, f"{at}.tapes") for tape in value]
            else:
                _absolute(value, folder, f"{at}.{key}")


def _tape_name(tape: Any, folder: Path, at: str) -> str:
    if not isinstance(tape, str):
        raise ConfigError(f"{at}: {tape!r} is not the path or name of a tape")
    path = folder / Path(tape).expanduser()
    if path.exists():
        return str(path)
    if tape in shipped_tapes():
        return tape
    if (data := os.environ.get("TICKWRIGHT_DATA")) and (Path(data) / tape).exists():
        return str((Path(data) / tape).resolve())
    raise ConfigError(f"{at}: no tape at {path}{did_you_mean(tape, shipped_tapes())}")


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ConfigError(f"{value!r} cannot become a {kind.__name__}")
