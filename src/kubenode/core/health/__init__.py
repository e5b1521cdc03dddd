"""Is this one node's fault, or an outage?"""
