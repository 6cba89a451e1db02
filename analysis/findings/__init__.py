"""What is found in an experiment, as plain values."""
