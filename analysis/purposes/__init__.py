"""Rules that choose dim3 for a purpose. Pure numpy."""
