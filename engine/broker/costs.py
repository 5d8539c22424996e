"""Money in integers: the worth of a fill and its fee."""

from __future__ import annotations

from engine.broker.kernel import kernel


@kernel
def half_even(numerator, denominator):
    """``numerator / denominator`` rounded to an integer, halves to even; denominator > 0."""
    quotient = numerator // denominator
    return quotient + half_even_above(numerator - quotient * denominator, denominator, quotient)


@kernel
def value_of(b, price, size):
    """Signed micro-units of currency that ``size`` at ``price`` is worth."""
    if b.money_den == 1:
        return price * size * b.money_num
    return half_even(price * size * b.money_num, b.money_den)


@kernel
def fee_of(w, value, size, maker):
    """Micro-units of currency for a fill, rounded half-even once; negative is a rebate."""
    if maker:
        per_unit, ppm = w.maker_per_unit, w.maker_ppm
    else:
        per_unit, ppm = w.taker_per_unit, w.taker_ppm
    if ppm == 0:
        return per_unit * size
    worth = abs(value)  # in two parts, so that no product outgrows 63 bits
    millions = worth // 1_000_000
    rest = (worth - millions * 1_000_000) * ppm
    whole = per_unit * size + millions * ppm + rest // 1_000_000
    return whole + half_even_above(rest - rest // 1_000_000 * 1_000_000, 1_000_000, whole)


@kernel
def half_even_above(remainder, denominator, whole):
    """1 if ``whole + remainder / denominator`` rounds up half-even, else 0; 0 <= remainder < denominator."""
    twice = 2 * remainder
    return 1 if twice > denominator or (twice == denominator and whole & 1) else 0
