"""What the z-spread paper prints, as data: Exhibit 3, the bonds of Exhibit 6, and which cells cannot be trusted.

Source: J.P. Morgan, "How much should we trust z-spreads in bond RV analysis?", 19 April 2018. Basis points, as printed.
"""

from __future__ import annotations

from typing import NamedTuple

AS_OF = "2018-04-19"
ROWS = (
    "Proxy",
    "Govt level +100bp",
    "Govt level -100bp",
    "Swap level +100bp",
    "Swap level -100bp",
    "Govt curve +100bp",
    "Govt curve -100bp",
    "Swap curve +100bp",
    "Swap curve -100bp",
)
EXHIBIT_3_BP = {  # in the order of ROWS
    "Italy": (12.4, 1.1, -1.2, 0.0, 0.0, 9.2, -8.0, -7.5, 7.2),
    "France": (3.0, 0.3, -0.3, 0.0, 0.0, 7.6, -6.3, -6.7, 6.5),
    "Germany": (1.0, 0.1, -0.1, 0.0, 0.0, 7.1, -5.8, -8.5, 4.2),
}
_OF_FRANCE = "looks differenced against France's proxy; against Germany's own it is our number"
SUSPECT = {
    ("Italy", "Govt level -100bp"): "cannot be reached: convex in the level, the effect falls by less than it rises",
    ("Germany", "Swap curve +100bp"): _OF_FRANCE,
    ("Germany", "Swap curve -100bp"): _OF_FRANCE,
}


class PrintedBond(NamedTuple):
    """A row of Exhibit 6; spreads in bp, coupon in percent."""

    maturity: str
    coupon_percent: float
    z_spread_bp: float
    adjusted_bp: float
    adjustment_bp: float
    swap_spread_bp: float


EXHIBIT_6 = tuple(
    PrintedBond(*row)
    for row in (
        ("2028-05-25", 0.75, -21.2, -22.1, -0.8, -21.3),
        ("2029-04-25", 5.50, -20.0, -19.0, 0.9, -28.1),
        ("2030-05-25", 2.50, -19.6, -19.8, -0.2, -23.1),
        ("2031-05-25", 1.50, -18.9, -19.5, -0.6, -20.3),
        ("2032-10-25", 5.75, -18.5, -17.5, 1.0, -28.4),
        ("2034-05-25", 1.25, -17.1, -17.7, -0.6, -17.4),
        ("2035-04-25", 4.75, -16.9, -16.3, 0.7, -25.3),
        ("2036-05-25", 1.25, -14.2, -14.8, -0.6, -14.4),
        ("2038-10-25", 4.00, -10.4, -10.0, 0.4, -17.1),
        ("2039-06-25", 1.75, -7.9, -8.4, -0.5, -9.5),
        ("2041-04-25", 4.50, -4.4, -3.8, 0.6, -11.5),
        ("2045-05-25", 3.25, 6.8, 6.9, 0.1, 2.6),
        ("2048-05-25", 2.00, 13.7, 13.3, -0.4, 11.8),
    )
)
