"""The agent's side of the engine: one machine a key, one host a machine."""
