"""A farm's folder: each chunk as it ends, so that what was killed goes on; and in the end all of them together.

``NAME/``::

    chunks/0007/        results of a chunk, and failed.json, which is written last: with it the chunk is done
    agents/*.agent      one for every run, as strategies load them
    results/            all runs (``engine.learning.vwap_results``)
    table.csv           a line for every run, and for every ticker that failed
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.learning.agent_export import export_agent
from engine.learning.farm import Chunk, Done, joined
from engine.learning.placement_problem import Problem, nth, stack
from engine.learning.vwap_results import Kept, Learned, Run, VwapResults, load_results, save_results
from engine.q_network import Weights

FAILED = "failed.json"
HEAD = ("ticker", "pov", "objective", "seed", "episodes", "seconds", "cost", "optimum", "excess", "twap", "gap_closed",
        "best_rule", "best_rule_name", "failed")  # fmt: skip


class Farm:
    """The folder of one farm.

    Parameters
    ----------
    folder : Path
    name : str
    identity : str
        What decides every bit of the results, as text: a folder of another is not gone on with.
    settings : dict
        For people.
    device : str
    """

    def __init__(self, folder: Path, *, name: str, identity: str, settings: dict[str, Any], device: str) -> None:
        self.folder = folder
        self._mark = hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
        self._facts: dict[str, Any] = {
            "name": name,
            "settings": settings,
            "device": device,
        }

    def begin(self) -> None:
        """Make the folder, or find the one that was begun.

        Raises
        ------
        ConfigError
            If it is that of another farm.
        """
        file = self.folder / "farm"
        if not self.folder.exists() or not any(self.folder.iterdir()):
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(self._mark)
        elif not file.is_file() or file.read_text() != self._mark:
            raise ConfigError(
                f"{self.folder} holds something else than the beginning of this training by this version of the code; "
                "choose another --out folder, or --overwrite"
            )

    def is_done(self, chunk: Chunk) -> bool:
        """Whether a chunk ended before."""
        return (self._place(chunk) / FAILED).is_file()

    def keep(self, done: Done) -> Done:
        """Write what became of a chunk, and its agents; a run that makes no agent is a failure of its ticker.

        What is lost is not kept: it is not done.
        """
        if done.is_lost:
            return done
        place = self._place(done.chunk)
        place.mkdir(parents=True, exist_ok=True)
        done = self._exported(done)
        if done.learned is not None:
            problems = stack([one.problem for one in done.posed])
            is_synthetic = any(one.told["is_synthetic"] for one in done.posed)
            save_results(place, self._results(done.runs, {}, is_synthetic), problems, done.learned, overwrite=True)
        (place / FAILED).write_bytes(msgspec.json.encode(done.failed))
        return done

    def end(self, chunks: Sequence[Chunk], lost: dict[str, str] | None = None) -> Kept | None:
        """All chunks that are done together, in their own order; None where no run is left.

        ``lost`` says why of tickers whose chunks are not.
        """
        failed = dict(lost or {})
        parts: list[Kept] = []
        for chunk in filter(self.is_done, chunks):
            place = self._place(chunk)
            failed |= msgspec.json.decode((place / FAILED).read_bytes(), type=dict[str, str])
            parts += [load_results(place)] if (place / "results").is_dir() else []
        is_synthetic = any(part.results.is_synthetic for part in parts)
        results = self._results([run for part in parts for run in part.results.runs], failed, is_synthetic)
        _write_table(self.folder / "table.csv", results)
        if not parts:
            return None
        problems = stack([nth(part.problems, i) for part in parts for i in range(len(part.results.runs))])
        learned = joined([part.learned for part in parts])
        save_results(self.folder, results, problems, learned, overwrite=True)
        return Kept(results, problems, learned)

    def _place(self, chunk: Chunk) -> Path:
        return self.folder / "chunks" / f"{chunk.number:04d}"

    def _results(self, runs: list[Run], failed: dict[str, str], is_synthetic: bool) -> VwapResults:
        return VwapResults(runs=runs, failed=failed, is_synthetic=is_synthetic, **self._facts)

    def _exported(self, done: Done) -> Done:
        """Write the agents; what is left are the runs that have one."""
        if done.learned is None:
            return done
        failed, kept = dict(done.failed), []
        for i, (run, posed) in enumerate(zip(done.runs, done.posed, strict=True)):
            try:
                self._export(run, posed.problem, done.learned, i, posed.told)
                kept.append(i)
            except ConfigError as error:
                if isinstance(error.__context__, OSError):  # a full disk is nobody's failure
                    raise
                failed[run.ticker] = str(error)
        columns: list[Any] = [column[kept] for column in done.learned]
        return done._replace(
            runs=[done.runs[i] for i in kept],
            posed=[done.posed[i] for i in kept],
            learned=Learned(*columns) if kept else None,
            failed=failed,
        )

    def _export(self, run: Run, problem: Problem, learned: Learned, i: int, told: dict[str, Any]) -> None:
        settings = self._facts["settings"] | told.get("settings", {})
        metrics = {"cost": run.cost, "optimum": run.optimum, "twap": run.twap, "best_rule": run.best_rule}
        export_agent(
            self.folder / "agents" / f"{run.ticker}_{round(1e4 * run.pov):04d}_{run.seed}.agent",
            problem,
            Weights(learned.w1[i], learned.b1[i], learned.z[i], learned.b2[i]),
            learned.visited[i],
            trained_on=run.ticker,
            seed=run.seed,
            episodes=run.episodes,
            overwrite=True,
            metrics=metrics,
            **(told | {"settings": settings}),
        )


def gap_closed(run: Run) -> float:
    """The part of the way from TWAP to the optimum; NaN where TWAP is the optimum."""
    gap = run.twap - run.optimum
    return (run.twap - run.cost) / gap if gap > 0 else np.nan


def _write_table(file: Path, results: VwapResults) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(HEAD)
        for run in results.runs:
            numbers = run.cost, run.optimum, run.cost - run.optimum, run.twap, gap_closed(run), run.best_rule
            facts = run.ticker, run.pov, run.objective, run.seed, run.episodes, f"{run.seconds:.3f}"
            writer.writerow([*facts, *(f"{x:.6f}" for x in numbers), run.best_rule_name, ""])
        for ticker, why in sorted(results.failed.items()):
            writer.writerow([ticker, *[""] * (len(HEAD) - 2), why])
