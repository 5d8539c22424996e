"""What ``tickwright exhibits backprop`` does: a note's claims tried on the agent's network, files and verdicts."""

from __future__ import annotations

from pathlib import Path

from engine.backprop_views import backprop_exhibits
from engine.cli import Output
from engine.exhibits_command import give_exhibits
from engine.kernel_cache import ensure
from engine.learning.backprop_study import HIDDEN, study
from engine.progress import telling

STAGES = 5


def backprop_command(
    out: Path, html: bool, pov: float, starts: int, epochs: int, rows: int, seed: int, output: Output
) -> int:
    """Exhibits of the backpropagation note."""
    ensure()
    with telling(STAGES, output, doing="placement values") as told:
        found = study(pov=pov, starts=starts, epochs=epochs, rows=rows, seed=seed, on_stage=told)
    source = f"exact values of placements, test problem, POV {pov:g}"
    facts = [
        f"{source}: {rows:,} of {found.task.states:,} states and placements, and as many held out; inputs and values "
        f"standardised (1 is {found.task.unit:.3g} half-spreads)",
        f"{HIDDEN} hidden units, {starts} starting points, {epochs} epochs; seed {seed}; errors are over starts",
    ]
    return give_exhibits(
        "Neural networks explained, part V: backpropagation", source, backprop_exhibits(found), facts, out, html, output
    )
