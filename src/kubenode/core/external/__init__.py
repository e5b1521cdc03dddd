"""What others ask for: remedies of nodes that their health checks take for sick."""
