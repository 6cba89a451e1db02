"""Measures of models and data: errors, latent space, generated rows, intrinsic dimension."""
