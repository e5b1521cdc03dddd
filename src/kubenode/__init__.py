"""Deployments for nodes, as a library."""
