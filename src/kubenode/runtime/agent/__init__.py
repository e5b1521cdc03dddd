"""The agent's side of the engine: one key per machine, and one host to it."""
