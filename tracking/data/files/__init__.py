"""Readers of a user's own files, a module for each kind; `datasets.SOURCES` says which reader a suffix has."""
