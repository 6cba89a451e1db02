"""Measures of latent spaces: the answers to the assignment's questions."""
