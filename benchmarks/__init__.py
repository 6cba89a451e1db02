"""How good and how fast, measured: one command each."""
