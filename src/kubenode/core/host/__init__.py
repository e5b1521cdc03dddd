"""What the agent on a host decides."""
