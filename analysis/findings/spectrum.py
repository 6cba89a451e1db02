"""What the eigenvalues of PCA say of the number of dimensions."""

from __future__ import annotations

import numpy as np

from .. import Floats

SHARES = (0.80, 0.90, 0.95)


def explained(spectrum: Floats, share: float) -> int:
    """The fewest components whose eigenvalues (K,) are this share of their sum."""
    shares = np.cumsum(spectrum) / spectrum.sum()
    return int(np.searchsorted(shares, share - 1e-12)) + 1


def profile_likelihood(spectrum: Floats) -> int | None:
    """The split of the eigenvalues into two normal groups of one variance that is likeliest (Zhu & Ghodsi 2006)."""
    count = len(spectrum)
    if count < 3 or not np.ptp(spectrum):
        return None
    sums, squares = np.cumsum(spectrum), np.cumsum(spectrum**2)
    q = np.arange(1, count)
    first = squares[:-1] - sums[:-1] ** 2 / q
    second = (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (count - q)
    variance = np.maximum(first + second, np.finfo(float).tiny) / (count - 2)
    return int(variance.argmin()) + 1  # the log-likelihood is -count/2 log(variance) and a constant


def criteria(spectrum: Floats) -> dict[str, int | None]:
    """All of them, by name."""
    if not spectrum.sum() > 0:
        return {}
    found: dict[str, int | None] = {f"explained variance {s:.0%}": explained(spectrum, s) for s in SHARES}
    return {**found, "profile likelihood": profile_likelihood(spectrum)}


def left(spectrum: Floats) -> Floats:
    """The share of the variance that dim3 components leave, dim3 from 0 to K: (K + 1,)."""
    tail: Floats = np.append(spectrum[::-1].cumsum()[::-1], 0.0)
    shares: Floats = tail / tail[0]
    return shares
