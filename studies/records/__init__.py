"""What is recorded of a study in its two stores, Optuna's and MLflow's, and who may write there."""
