"""From a tracking store, or any table of errors against dim3, to an answer. Needs neither torch nor Optuna."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

if __name__ == "analysis":  # by its bare name, in a checkout
    from elbowroom import aliases

    aliases.stand_for("analysis")
