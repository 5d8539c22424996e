"""The parents of a run's agent, replayed one by one: its problem told in units of the market that the run trades."""

from __future__ import annotations

from engine.agent_model import Agent, load_agent
from engine.config import Config
from engine.errors import ConfigError
from engine.feed import Feed
from engine.learning.agent_export import problem_of
from engine.learning.replay_env import ReplayEnv, Terms
from engine.names import import_class
from engine.tape import Tape


class ReplayParents:
    """Each alone: nothing is left of another's impact, as nothing is in the problem.

    Parameters
    ----------
    config : Config
        Of a run of ``VwapAgent``: its agent, broker, risk limits, seed and probes.
    symbol : str, optional
        What is traded; by default what the agent was trained on.

    Raises
    ------
    ConfigError
        If the run names no agent, one of a problem of no market, or one that was trained with a forecast that no probe
        of the run makes.
    """

    def __init__(self, config: Config, symbol: str = "") -> None:
        self.config, self.agent = config, _agent(config)
        self.problem = problem_of(self.agent)
        self.symbol = symbol or self.agent.manifest.trained_on
        probed = any(probe.model and probe.symbol == self.symbol for probe in config.strategies[0].probes)
        if self.agent.manifest.forecast == "model" and not probed:
            raise ConfigError(
                f"{config.name}: its agent was trained with a model's forecast; add [[probes]] with that model for "
                f"{self.symbol}"
            )
        self._feed = import_class(config.feed, object, f"{config.name}: $.feed")

    @property
    def length_s(self) -> int:
        """Of a parent, seconds."""
        return round(self.agent.manifest.step_s * int(self.problem.steps))

    def env(self, tape: Tape, start: int, side: int) -> ReplayEnv:
        """The parent that begins at ``start`` (ns UTC) on the day of a tape; nothing has been replayed of it yet.

        Raises
        ------
        ConfigError
            If the tape has no such instrument.
        """
        facts, probes = self.agent.manifest, self.config.strategies[0].probes
        feed: Feed = self._feed(tape)
        return ReplayEnv(
            self.problem,
            Terms(
                symbol=self.symbol,
                lot_size=self._lot_size(tape),
                half_spread=facts.half_spread,
                step_s=facts.step_s,
                lean_edge=facts.lean_edge,
            ),
            feed,
            [start],
            broker=self.config.broker,
            risk=self.config.risk,
            seed=self.config.seed,
            side=side,
            probes=tuple(probes) if facts.forecast == "model" else (),
        )

    def _lot_size(self, tape: Tape) -> int:
        lots = {one.symbol: one.lot for one in tape.instruments}
        if self.symbol not in lots:
            raise ConfigError(f"{tape.manifest.name}: has no {self.symbol}; it has {', '.join(sorted(lots))}")
        lot = lots[self.symbol]
        return max(1, round(self.agent.manifest.lot_size / lot)) * lot


def _agent(config: Config) -> Agent:
    folder = config.strategies[0].params.get("agent_folder")
    if not isinstance(folder, str):
        raise ConfigError(f"{config.name}: its strategy has no agent_folder; name a run of VwapAgent")
    agent = load_agent(folder)
    if agent.manifest.lot_size <= 0 or agent.manifest.half_spread <= 0:
        raise ConfigError(f"{folder}: was trained on a problem of no market, so nothing can be replayed against it")
    return agent
