"""Kubernetes Events: what of an engine's decisions is told to people who run `kubectl describe`, without a flood."""
