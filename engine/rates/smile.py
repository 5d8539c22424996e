"""A smile of normal vols by strike offset, as kernels: straight lines between nodes, flat beyond the outer ones.

An offset is strike minus forward, a decimal. Rows are passed by index, not sliced: numba counts references atomically.
Straight lines cannot undershoot the quotes, and make the strike of a given delta exact: no iteration.
"""

from __future__ import annotations

from engine.compiled import compiled


@compiled
def smile_vol(offsets, smiles, k, offset):
    """The vol at ``offset`` of row k of ``smiles[:, j]``; ``offsets[j]`` ascend."""
    last = offsets.size - 1
    if offset <= offsets[0]:
        return smiles[k, 0]
    if offset >= offsets[last]:
        return smiles[k, last]
    j = 1
    while offsets[j] < offset:
        j += 1
    weight = (offset - offsets[j - 1]) / (offsets[j] - offsets[j - 1])
    return smiles[k, j - 1] + weight * (smiles[k, j] - smiles[k, j - 1])


@compiled
def fill_smile_vols(offsets, smiles, at, out):
    """``smile_vol`` of each row k at ``at[k]``."""
    for k in range(at.size):
        out[k] = smile_vol(offsets, smiles, k, at[k])


@compiled
def strike_offset_for_delta(offsets, smiles, k, scaled_quantile):
    """The offset o nearest the forward with ``o = scaled_quantile vol(o)``, on row k of ``smiles``.

    ``scaled_quantile = -kind quantile(delta) sqrt(T)``, so that o is the strike of that delta at its own vol. The walk
    starts at the forward and goes outward; in a segment where ``vol = a + b o`` the solution is
    ``o = q a / (1 - q b)``.
    """
    if scaled_quantile == 0.0:
        return 0.0
    up = scaled_quantile > 0.0
    here = 0.0
    while True:
        following = _next_node(offsets, here, up)
        vol = smile_vol(offsets, smiles, k, here)
        if following == here:  # flat from here on
            return scaled_quantile * vol
        slope = (smile_vol(offsets, smiles, k, following) - vol) / (following - here)
        level = vol - slope * here
        denominator = 1.0 - scaled_quantile * slope
        if denominator > 0.0:
            found = scaled_quantile * level / denominator
            if (found <= following) if up else (found >= following):
                return found
        here = following


@compiled
def _next_node(offsets, here, up):
    """The first node beyond ``here`` upwards or downwards; ``here`` itself where there is none."""
    if up:
        for j in range(offsets.size):
            if offsets[j] > here:
                return offsets[j]
    else:
        for j in range(offsets.size - 1, -1, -1):
            if offsets[j] < here:
                return offsets[j]
    return here
