"""How a changed component reaches the machines: the fold, the batches, the decider."""
