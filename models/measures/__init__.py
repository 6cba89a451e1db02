"""What is measured of models and data: errors, the latent space, generated rows, the intrinsic dimension."""
