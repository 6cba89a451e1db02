"""From a tracking store, or any table of errors against dim3, to an answer. Needs neither torch nor Optuna."""
