"""One recorded run of one model: its configuration, its data, its figures and its place in the store."""

if __name__ == "tracking":  # by its bare name, in a checkout
    from elbowroom import aliases

    aliases.stand_for("tracking")
