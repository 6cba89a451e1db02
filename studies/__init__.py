"""Studies: many runs, one search. The only place that imports optuna."""

if __name__ == "studies":  # by its bare name, in a checkout
    from elbowroom import aliases

    aliases.stand_for("studies")
