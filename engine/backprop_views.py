"""The backpropagation note's claims as exhibits: measurements shown and judged, nothing measured here.

Source: J.P. Morgan, "Neural Network Explained, Part V: Backpropagation". Exhibits 1 and 2 are its figures; the others
stand for what it says without a figure. Differences of losses are in decades, powers of ten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.learning.backprop_depth import ARMS, Depths, Trained
from engine.learning.backprop_descent import (
    CONVERGED,
    DECAYING,
    DIVERGED,
    FULL,
    KICKS,
    LBFGS,
    RANDOM,
    SAME,
    SLOW,
    SMALL,
    STALLED,
    WAYS,
    Minima,
    Race,
    Sweep,
)
from engine.learning.backprop_kernels import activation
from engine.learning.backprop_study import Study
from engine.reports.curve_page import Plot, Trace
from engine.reports.exhibits import Claim, Exhibit, Verdict, judge, judge_exact, unjudged

Floats = NDArray[np.float64]

SIGMOID, RELU, SIGMOID_LARGE, RELU_SMALL, RECURRENT = range(5)  # of ARMS
DRAWN = 4  # arms on pictures: the recurrent ones lie on the others
SMALL_PRODUCT = 1e-3  # "very close to 0"
COSTLY = 2.0  # times the work of a plain step
DECADES, PER_LAYER = "decades", "decades a layer"
SWEPT = WAYS[:3]


def backprop_exhibits(found: Study) -> list[Exhibit]:
    """Exhibits 1 to 8."""
    return [
        _sigmoid(),
        _relu(),
        _chain_rule(found),
        _vanishing(found.depths),
        _training(found.trained),
        _rates(found.sweep),
        _ways(found.race),
        _minima(found.minima),
    ]


def _sigmoid() -> Exhibit:
    x = np.linspace(-6, 6, 241)
    value, gradient = activation("sigmoid", x)
    top = float(gradient.max())
    claim = Claim("1", "The gradient of the sigmoid is always less than 1", "less than 1")
    return Exhibit(
        "1",
        "The sigmoid and its gradient (figure 1)",
        "Gradient values of the sigmoid are small: it is a slow function.",
        {"x": x, "sigmoid": value, "gradient": gradient},
        [Plot("Sigmoid", "x", "", [Trace("sigmoid", x, value), Trace("gradient", x, gradient)])],
        [judge_exact(claim, top, is_true=top < 1, why="its largest, at x = 0, is a quarter")],
    )


def _relu() -> Exhibit:
    x = np.linspace(-6, 6, 241)
    value, gradient = activation("relu", x)
    miss = float(abs(gradient[x > 0] - 1).max())
    claim = Claim("2", "The gradient of ReLU is exactly 1 for x > 0: largest difference", "1")
    return Exhibit(
        "2",
        "ReLU and its gradient (figure 2)",
        "A different activation remedies the vanishing gradient: ReLU's gradient is exactly 1 above 0.",
        {"x": x, "relu": value, "gradient": gradient},
        [Plot("ReLU", "x", "", [Trace("ReLU", x, value), Trace("gradient", x, gradient)])],
        [judge_exact(claim, miss, is_true=miss == 0, why="and exactly 0 below, which the note's text leaves out")],
    )


def _chain_rule(found: Study) -> Exhibit:
    product = Claim("3", "∂L/∂β₁ is the product of the chain rule's four terms: largest relative difference")
    steepest = Claim(
        "3", "The negative gradient is the direction of the steepest fall: best random one, as a part of it"
    )
    miss, part = found.chain_rule_miss, found.steepest
    return Exhibit(
        "3",
        "The chain rule and the steepest descent",
        "With two hidden layers the gradient is a product of two sigmoid gradients, among other terms.",
        verdicts=[
            judge_exact(product, miss, is_true=miss < 1e-10, why="1,000 networks of one unit a layer, normal β, x, y"),
            judge_exact(
                steepest, part, is_true=part < 1, why="1,000 random directions of the 50-unit network's weights"
            ),
        ],
    )


def _vanishing(found: Depths) -> Exhibit:
    deepest, names = int(found.depth[-1]), [arm.name for arm in ARMS]
    first, product = np.log10(found.first), np.log10(found.product)
    layer = np.log10(found.by_layer)
    table = {
        "arm": np.repeat(names, len(found.depth)),
        "hidden_layers": np.tile(found.depth, len(names)),
        "log10_first_layer_gradient": first.mean(axis=2).ravel(),
        "log10_last_layer_gradient": np.log10(found.last).mean(axis=2).ravel(),
        "log10_product": product.mean(axis=2).ravel(),
        "log10_largest_product": np.log10(found.largest.max(axis=2)).ravel(),
    }
    plots = [
        Plot(
            "Gradient of the first layer's weights", "hidden layers", "log10, root mean square",
            [Trace(name, found.depth, row) for name, row in zip(names[:DRAWN], first.mean(axis=2), strict=False)],
        ),
        Plot(
            "Product of activation gradients", "hidden layers", "log10, mean over rows and units",
            [Trace(name, found.depth, row) for name, row in zip(names[:DRAWN], product.mean(axis=2), strict=False)],
        ),
        Plot(
            f"Gradient layer by layer, {deepest} deep", "hidden layer", "log10, root mean square",
            [Trace(name, found.depth, row) for name, row in zip(names[:DRAWN], layer.mean(axis=1), strict=False)],
        ),
    ]  # fmt: skip
    return Exhibit(
        "4",
        "The vanishing product, through depth",
        "With many layers the product of sigmoid gradients may end up very close to 0, regardless of the inputs. "
        "ReLU remedies it; recurrent networks are designed to counter it.",
        table,
        plots,
        _vanishing_verdicts(found, deepest),
        [
            f"Hidden layers of 50, {found.first.shape[2]} starting points each, before training; biases 0, weights "
            "normal of variance 1/n (sigmoid) and 2/n (ReLU). Decades: of the root mean square of ∂L/∂W of the first "
            "layer.",
            f"Of ReLU's gradients {np.mean(found.active[RELU]):.3f} are 1 and the rest 0, so its mean product halves "
            "with each layer, too. What holds its gradient up is the 2 in the variance of its weights: without it "
            f"(weights over √2) the gradient loses {_mean_lost(found, RELU_SMALL):.2f} decades a layer. Weights "
            f"times 4 leave the sigmoid a loss of {_mean_lost(found, SIGMOID_LARGE):.2f}.",
            "Recurrent (in the table): the same weights in every hidden layer, a plain recurrent network unrolled. "
            "Gated ones, which were built against vanishing, are not tried here.",
        ],
    )


def _vanishing_verdicts(found: Depths, deepest: int) -> list[Verdict]:
    largest = float(found.largest[SIGMOID, -1].max())
    lost = _lost(found.first, deepest)
    by_product = _lost(found.product, deepest)
    input_claim = Claim(
        "4", f"{deepest} layers deep the product is very close to 0 regardless of the inputs: largest of all rows", "0"
    )
    return [
        _judged(Claim("4", "Each layer shrinks the product of sigmoid gradients", "", PER_LAYER), by_product[SIGMOID]),
        judge_exact(
            input_claim, largest, is_true=largest < SMALL_PRODUCT, why=f"below {SMALL_PRODUCT:g} is close to 0"
        ),
        _judged(Claim("4", "The first layer's gradient vanishes with depth: sigmoid", "yes", PER_LAYER), lost[SIGMOID]),
        _against(Claim("4", "ReLU loses less of it", "yes", PER_LAYER), lost[SIGMOID], lost[RELU]),
        _judged(Claim("4", "ReLU's product of gradients does not shrink", "gradient 1", PER_LAYER), -by_product[RELU]),
        _against(
            Claim("4", "A plain recurrent network loses less of it: sigmoid", "yes", PER_LAYER),
            lost[SIGMOID],
            lost[RECURRENT],
        ),
    ]


def _training(found: Trained) -> Exhibit:
    loss, deepest = np.log10(found.loss), int(found.depth[-1])
    names = "sigmoid", "ReLU"
    middle = np.median(loss, axis=2)
    table = {
        "activation": np.repeat(names, len(found.depth)),
        "hidden_layers": np.tile(found.depth, 2),
        "best_rate": found.rate.ravel(),
        "median_loss": 10 ** middle.ravel(),
        "lowest_loss": found.loss.min(axis=2).ravel(),
        "highest_loss": found.loss.max(axis=2).ravel(),
    }
    traces = [Trace(name, found.depth, row) for name, row in zip(names, middle, strict=True)]
    return Exhibit(
        "5",
        "What a vanishing gradient does to learning",
        "A product close to 0 is not helpful for what we are trying to do.",
        table,
        [Plot(f"Loss after {found.epochs} epochs", "hidden layers", "log10, median of starts", traces)],
        [
            _against(Claim("5", f"{deepest} sigmoid layers learn less than one", "yes", DECADES),
                     loss[0, -1], loss[0, 0]),
            _against(Claim("5", f"{deepest} ReLU layers learn more than as many sigmoid ones", "yes", DECADES),
                     loss[0, -1], loss[1, -1]),
            _against(Claim("5", f"{deepest} ReLU layers learn as much as one, or more", "", DECADES),
                     loss[1, 0], loss[1, -1]),
        ],
        [f"32 rows a step, {found.loss.shape[2]} starts, each depth at its best of three rates; a loss of 1 is "
         "a constant's."],
    )  # fmt: skip


def _rates(found: Sweep) -> Exhibit:
    middle = np.median(found.end, axis=2)
    shown = np.where(np.isfinite(middle), middle, np.nan)
    table = {
        "way": np.repeat(SWEPT, len(found.rate)),
        "rate": np.tile(found.rate, len(SWEPT)),
        "median_loss": shown.ravel(),
        "starts_diverged": np.isinf(found.end).sum(axis=2).ravel(),
        "outcome": found.outcome.ravel(),
    }
    plots = [
        Plot(way, "log10 learning rate", "log10 loss at the end, median", _marks(found, k))
        for k, way in enumerate(SWEPT)
    ]
    return Exhibit(
        "6",
        "The learning rate, with convergence and divergence marked",
        "A learning rate that is too big or too small is at risk of not converging.",
        table,
        plots,
        [verdict for k in (FULL, RANDOM) for verdict in _rate_verdicts(found, k)],
        [
            "Converged: within twice the loss of the best rate. Diverged: beyond the loss it began with. Too slow: "
            "neither, and still falling by 1 % a tenth of the epochs; stalled: not even that. Most of "
            f"{found.end.shape[2]} starting points decide. Where these diverged the mark is at the loss of a constant.",
        ],
    )


def _marks(found: Sweep, way: int) -> list[Trace]:
    loss, x = np.median(found.end[way], axis=1), np.log10(found.rate)
    height = np.log10(np.where(np.isfinite(loss), loss, 1.0))
    parts = [(kind, found.outcome[way] == kind) for kind in (SLOW, DIVERGED, CONVERGED, STALLED)]
    return [Trace(kind, x[at], height[at], is_points=True) for kind, at in parts]


def _rate_verdicts(found: Sweep, way: int) -> list[Verdict]:
    best, name = found.best[way], SWEPT[way]
    big = found.rate[(found.rate > best) & (found.outcome[way] == DIVERGED)]
    small = found.rate[(found.rate < best) & np.isin(found.outcome[way], (SLOW, STALLED))]
    over, under = (float(big.min()) if big.size else np.nan), (float(small.max()) if small.size else np.nan)
    return [
        judge_exact(
            Claim("6", f"Too big a rate does not converge: lowest that diverges, {name}", "yes", "rate"),
            over, is_true=bool(big.size), why=f"best rate {best:.3g}",
        ),
        judge_exact(
            Claim("6", f"Too small a rate does not converge: highest that is too slow, {name}", "yes", "rate"),
            under, is_true=bool(small.size), why=f"best rate {best:.3g}; it would, in more epochs",
        ),
    ]  # fmt: skip


def _ways(found: Race) -> Exhibit:
    end, held = np.log10(found.end), np.log10(found.held)
    passes = np.arange(found.loss.shape[2])
    middle = np.log10(np.median(found.loss, axis=1))
    table = {"passes": passes} | {name: 10**row for name, row in zip(WAYS, middle, strict=True)}
    spread = np.log10(np.percentile(found.loss, (25, 75), axis=1))  # (2, way, passes)
    ranges = [
        Trace(f"{WAYS[way]}, {name}", passes, spread[k, way])
        for way in (FULL, RANDOM)
        for k, name in ((0, "lower quarter"), (1, "upper quarter"))
    ]
    steps = np.arange(found.by_step.shape[2])
    searched = [
        Trace(name, steps, np.log10(np.median(row, axis=0)))
        for name, row in zip(("full batch, constant rate", "best rate each step"), found.by_step, strict=True)
    ]
    return Exhibit(
        "7",
        "Ways down from the same starting points",
        "Stochastic methods are often preferred; rates that decrease are common; second derivatives promise faster "
        "convergence, but are much more expensive; there is an optimal rate for every iteration, expensive to find.",
        table,
        [
            Plot("Loss by passes over the rows", "passes", "log10 loss, median of starts", _lines(passes, middle)),
            Plot("How much starts differ", "passes", "log10 loss", ranges),
            Plot("The best rate for every step", "steps", "log10 loss, median of starts", searched),
        ],
        _way_verdicts(found, end, held),
        [
            f"The 50-unit ReLU network, {found.loss.shape[1]} starting points that no rate was chosen on, "
            f"{passes[-1]} passes, each way at its own best rate. One pass looks at every row once. Of random rows "
            f"{int(np.isinf(found.loss[RANDOM, :, -1]).sum())} diverged on these starts, with a decaying rate "
            f"{int(np.isinf(found.loss[DECAYING, :, -1]).sum())}, of full batches "
            f"{int(np.isinf(found.loss[FULL, :, -1]).sum())}; they count as if they had not moved.",
            f"Median loss on rows not fitted: {_listed(np.median(found.held, axis=1))}.",
            "L-BFGS learns curvature from gradients, without second derivatives; methods that need them are not tried.",
        ],
    )


def _way_verdicts(found: Race, end: Floats, held: Floats) -> list[Verdict]:
    still = _wobble(found.loss[RANDOM]), _wobble(found.loss[DECAYING])
    by_step = np.log10(np.where(np.isfinite(found.by_step[..., -1]), found.by_step[..., -1], found.by_step[..., 0]))
    lbfgs, search = found.evaluations_a_step, found.passes_a_step
    return [
        _paired(Claim("7", "Random rows lead lower than the full batch", "preferred", DECADES), end[FULL], end[RANDOM]),
        _paired(Claim("7", "The same on rows not fitted", "", DECADES), held[FULL], held[RANDOM]),
        _paired(Claim("7", "A decaying rate leads lower than a constant one", "common", DECADES),
                end[RANDOM], end[DECAYING]),
        _paired(Claim("7", "A decaying rate moves less at the end, from epoch to epoch", "", DECADES), *still),
        _paired(Claim("7", "L-BFGS leads lower than the full batch", "faster", DECADES), end[FULL], end[LBFGS]),
        _paired(Claim("7", "L-BFGS leads lower than random rows", "", DECADES), end[RANDOM], end[LBFGS]),
        judge_exact(
            Claim("7", "Curvature costs much more a step: gradients a step of L-BFGS", "much more", "gradients"),
            lbfgs, is_true=lbfgs > COSTLY, why=f"plain descent needs 1; much more is {COSTLY:g}",
        ),
        _paired(Claim("7", "The best rate for every step leads lower than a constant one", "optimal", DECADES),
                *by_step),
        judge_exact(
            Claim("7", "Finding the best rate is expensive: passes a step", "expensive", "passes"),
            search, is_true=search > COSTLY, why=f"plain descent needs 1; expensive is {COSTLY:g}",
        ),
    ]  # fmt: skip


def _minima(found: Minima) -> Exhibit:
    table = {"start": np.arange(len(found.full)), "full_batch": found.full, "random_rows": found.stochastic}
    table |= {f"after_{rate:g}": kicked for rate, kicked in zip(KICKS, found.kicked, strict=True)}
    order = np.arange(1, len(found.full) + 1)
    traces = [
        Trace(name, order, np.log10(np.sort(losses)), is_points=True)
        for name, losses in (("full batch", found.full), ("random rows", found.stochastic))
    ]
    where = ", ".join(f"{level:.4f} ({int((abs(found.full / level - 1) <= SAME).sum())})" for level in found.levels[:8])
    return Exhibit(
        "8",
        f"Local minima of a network of {SMALL} sigmoid units",
        "Descent often gets stuck in local minima; randomness gives a better chance of getting out of them.",
        table,
        [Plot("Minimum below the end of each start", "starts, sorted", "log10 loss", traces)],
        _minima_verdicts(found),
        [
            f"Minima of the full batch, with how many of {len(found.full)} starts: {where}. The largest gradient left "
            f"is {found.steepest:.1g}. Ends of both ways are led down by L-BFGS, so that minima are compared and not "
            f"speed. Minima nearer than {SAME:.0%} are one. The full batch had five times the passes.",
        ],
    )


def _minima_verdicts(found: Minima) -> list[Verdict]:
    stuck, moved = found.is_stuck, _moved(found.full, found.stochastic)
    count = int(stuck.sum())
    trapped = Claim("8", "The full batch gets stuck: starts above the lowest minimum", "not uncommon", "of starts")
    better = Claim("8", "Random rows find lower minima more often than higher, same starts", "better", "of starts")
    same = "both found the same minimum from every start"
    verdicts = [
        judge_exact(trapped, float(stuck.mean()), is_true=count > 0, why=f"{count} of {len(stuck)}"),
        _judged(better, moved) if moved.any() else unjudged(better, same),
    ]
    for rate, kicked in zip(KICKS, found.kicked, strict=True):
        claim = Claim(
            "8", f"Random rows lead out of a minimum that is not the lowest, rate {rate:g}", "yes", "of those"
        )
        if not count:
            verdicts.append(unjudged(claim, "no start was stuck"))
            continue
        out = _moved(found.full[stuck], kicked[stuck])
        lower, higher = int((out > 0).sum()), int((out < 0).sum())
        why = f"{lower} of {count} went lower, {higher} higher"
        verdicts.append(judge_exact(claim, lower / count, is_true=lower > higher, why=why))
    return verdicts


def _moved(before: Floats, after: Floats) -> Floats:
    """+1 where a minimum is lower, −1 where it is higher, 0 where it is the same."""
    return (after < before / (1 + SAME)).astype(float) - (after > before * (1 + SAME))


def _lost(values: Floats, deepest: int) -> Floats:
    """Decades a layer from one hidden layer to the deepest: floats[..., s] of [..., d, s]."""
    return (np.log10(values[..., 0, :]) - np.log10(values[..., -1, :])) / (deepest - 1)


def _mean_lost(found: Depths, arm: int) -> float:
    return float(_lost(found.first[arm], int(found.depth[-1])).mean())


def _wobble(losses: Floats) -> Floats:
    """Deviation of log10 loss from epoch to epoch over the last tenth; 0 where a start diverged."""
    tail = np.log10(np.where(np.isfinite(losses), losses, 1.0))[:, -max(3, losses.shape[1] // 10) :]
    return np.diff(tail, axis=1).std(axis=1)


def _judged(claim: Claim, draws: Floats) -> Verdict:
    return judge(claim, float(draws.mean()), float(draws.std(ddof=1) / np.sqrt(len(draws))))


def _paired(claim: Claim, worse: Floats, better: Floats) -> Verdict:
    """By start: how much more the first is."""
    return _judged(claim, worse - better)


def _against(claim: Claim, worse: Floats, better: Floats) -> Verdict:
    """The same of starts that have nothing to do with each other."""
    error = np.sqrt(worse.var(ddof=1) / len(worse) + better.var(ddof=1) / len(better))
    return judge(claim, float(worse.mean() - better.mean()), float(error))


def _lines(x: NDArray[np.int64], rows: Floats) -> list[Trace]:
    return [Trace(name, x, row) for name, row in zip(WAYS, rows, strict=True)]


def _listed(values: Floats) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(WAYS, values, strict=True))
