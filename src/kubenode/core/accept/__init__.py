"""Is what rules (a remedier, a policy) understood, and so in force?"""
