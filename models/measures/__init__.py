"""Measures of models and data: errors, decomposition, latent space, generated rows, intrinsic dimension."""
