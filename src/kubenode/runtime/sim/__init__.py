"""The simulator: the same engine and controllers on virtual time and simulated hosts."""
