"""What the slides say of learned placement, each sentence with a verdict and the numbers that it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.learning.vwap_exhibits import FACTORS, LEAST, Band, Group
from engine.reports.vwap_page import Claim

SURE = 2.0  # standard errors
LATE = 5.0  # times as much aggression in the last third as before it: what is called late
MOSTLY = 0.5  # of a corner's states
AS_TRAINED = FACTORS.index(1.0)

Judged = tuple[bool, str]


def claims(found: Sequence[Group]) -> list[Claim]:
    """Every sentence that these groups can be asked about."""
    arrival = [group for group in found if group.objective == "arrival"]
    told = [
        _claim("learning ends better than it began, and has settled", found, _converged),
        _claim("the learned policy is cheaper than every fixed rule", found, _beats_rules),
        _claim(f"passive early, aggressive late (over {LATE:g} times as much in the last third)", found, _late),
        _claim(
            "an aggressive order at the start where passive orders are unlikely to fill (shown so, not trained so)",
            found,
            _opening,
        ),
        _claim("little left early and much left late are hardly explored", found, _corners),
        _claim("momentum against the order is met with aggression (arrival)", arrival, _momentum),
        _objectives(found),
        _style_by_pov(found),
    ]
    return [one for one in told if one]


def is_beyond(difference: float, *errors: Band) -> bool:
    """Whether it is above 0 by ``SURE`` errors; of one run, which has none, by anything."""
    total = math.sqrt(sum(float(one.error) ** 2 for one in errors))
    return difference > (SURE * total if math.isfinite(total) else 0.0)


def percent(one: Band, digits: int = 1) -> str:
    """Of parts of 1."""
    return f"{Band(100 * one.mean, 100 * one.error).text(digits)} %"


def ratio(value: float) -> str:
    """Times, where hundreds are as good as more."""
    return f"{value:.1f}x" if value < 100 else "over 100x"


def _claim(text: str, found: Sequence[Group], judge: Callable[[Group], Judged]) -> Claim | None:
    return _judged(text, [(group.label, *judge(group)) for group in found])


def _judged(text: str, judged: Sequence[tuple[str, bool, str]]) -> Claim | None:
    """A claim of what was judged, by name; None of nothing."""
    if not judged:
        return None
    count = sum(holds for _, holds, _ in judged)
    verdict = (
        "holds" if count == len(judged) else "does not hold" if not count else f"holds in {count} of {len(judged)}"
    )
    return Claim(text, verdict, [f"{label}: {measured}" for label, _, measured in judged])


def _converged(group: Group) -> Judged:
    training = group.training
    points = len(training.episodes)
    first, settled, last = (training.reward.at(k) for k in (0, min(points * 3 // 4, points - 1), points - 1))
    gain = float(last.mean - first.mean)
    holds = is_beyond(gain, first, last) and abs(float(last.mean - settled.mean)) <= 0.05 * gain
    left, done = float(training.optimum.mean - last.mean), percent(training.completed.at(points - 1))
    return holds, (
        f"reward {first.text()} to {last.text()}, in its last quarter {float(last.mean - settled.mean):+.3f}, "
        f"{left:.3f} below the optimum's, exploring included; of the parent {done} done"
    )


def _beats_rules(group: Group) -> Judged:
    """Run by run: tickers differ by more than policies do."""
    best, names = -float(group.training.best_rule.mean), ", ".join(sorted({run.best_rule_name for run in group.runs}))
    told = f"{group.cost.text()} against {best:.3f} ({names}), cheaper by {group.beaten_by.text()}"
    return is_beyond(float(group.beaten_by.mean), group.beaten_by), told


def _late(group: Group) -> Judged:
    early, last = group.learned.first_two_thirds, group.learned.last_third
    told = f"{percent(early)} of the parent crosses in the first two thirds, {percent(last)} in the last"
    ours, best, plain = group.learned.late, group.optimum.late, group.twap.late
    return ours > LATE, f"{told} ({ratio(ours)}, by step {ratio(2 * ours)}; optimum {ratio(best)}, TWAP {ratio(plain)})"


def _opening(group: Group) -> Judged:
    low, usual = group.learned_by_fill[0].opening, group.learned_by_fill[AS_TRAINED].opening
    best, best_usual = group.optimum_by_fill[0].opening, group.optimum_by_fill[AS_TRAINED].opening
    told = (
        f"in the first tenth {percent(low)} crosses at {FACTORS[0]:g} of the probabilities, {percent(usual)} at all of"
    )
    return is_beyond(float(low.mean - usual.mean), low, usual), (
        f"{told} them (optimum {100 * float(best.mean):.1f} and {100 * float(best_usual.mean):.1f} %)"
    )


def _corners(group: Group) -> Judged:
    one = group.explored
    return one.low_corner > MOSTLY and one.high_corner > MOSTLY, (
        f"fewer than {LEAST} visits in {one.low_corner:.0%} of states with at most a third left in the first third, in "
        f"{one.high_corner:.0%} of those with at least two thirds left in the last, in {one.weakly:.0%} of all "
        f"(never: {one.never:.0%})"
    )


def _momentum(group: Group) -> Judged:
    low, high = (group.learned.by_alpha.at(k) for k in (0, -1))
    best, more = group.optimum.by_alpha.mean, group.learned.momentum
    return is_beyond(float(more.mean), more), (
        f"crosses in {percent(low)} of steps with the move in our favour, {percent(high)} with it against us "
        f"(optimum {100 * best[0]:.1f} and {100 * best[-1]:.1f} %)"
    )


def _objectives(found: Sequence[Group]) -> Claim | None:
    """Of each ticker and target: the optima of both objectives, and what was learned for both where it was."""
    judged: dict[str, Judged] = {}
    for group in found:
        name = group.label.removesuffix(group.objective).rstrip(", ")
        if name in judged:
            continue
        twins = [
            one for one in found if one.label.removesuffix(one.objective) == group.label.removesuffix(group.objective)
        ]
        left = ", ".join(f"{one.objective} {percent(_left_at_half(one))}" for one in twins)
        alike = percent(group.same_choice)
        told = f"the optima take the same placement in {alike} of decisions (risk {group.problem.risk:g})"
        judged[name] = (
            is_beyond(1 - float(group.same_choice.mean) - 1e-9, group.same_choice),
            (f"{told}; learned: left at half time {left}"),
        )
    return _judged("the objectives arrival and vwap trade differently", [(name, *one) for name, one in judged.items()])


def _left_at_half(group: Group) -> Band:
    remaining = group.learned.remaining
    return remaining.at(len(remaining.mean) // 2)


def _style_by_pov(found: Sequence[Group]) -> Claim | None:
    """Whether a larger target crosses more, by objective."""
    judged = []
    for objective in dict.fromkeys(group.objective for group in found):
        own = sorted((group for group in found if group.objective == objective), key=lambda group: group.pov)
        if len({group.pov for group in own}) > 1:
            low, high = own[0].learned.aggressive, own[-1].learned.aggressive
            parts = ", ".join(
                f"POV {100 * one.pov:g}% {percent(one.learned.aggressive)} "
                f"(optimum {100 * one.optimum.aggressive.mean:.1f})"
                for one in own
            )
            more = is_beyond(float(high.mean - low.mean), low, high)
            judged.append((objective, more, f"of what trades crosses at {parts}"))
    return _judged("the larger the target POV, the more aggressive the style", judged)
