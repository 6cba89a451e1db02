"""Reading: the runs of an experiment, or the rows of a table, as cells and curves."""
