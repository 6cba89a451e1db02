"""Findings of an experiment, as plain values."""
