"""The records of a study in Optuna's and MLflow's stores, and the claim that lets one process write them."""
