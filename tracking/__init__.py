"""One recorded run of one model: its configuration, its data, its figures and its place in the store."""
