"""Running the cells of a study: the coordinator, its workers, and one cell."""
