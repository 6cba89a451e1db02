"""Models that are trained by gradients, and the one loop that trains them."""
