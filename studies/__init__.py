"""Studies: many runs, one question. The only place that imports optuna."""
