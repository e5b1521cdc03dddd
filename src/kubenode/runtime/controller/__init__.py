"""The central controllers, thin: which keys, which snapshot, which decider."""
