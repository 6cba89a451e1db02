"""Which dim3 serves a purpose: the rules that choose. Pure numpy."""
