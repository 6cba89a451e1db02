"""The figures of the report and of the assignment's page."""
