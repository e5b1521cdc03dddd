"""The pure core: what decides. No clock, no I/O, no randomness, no logging lives here."""
