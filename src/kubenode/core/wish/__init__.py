"""What a person wishes of a running cluster, as the change of one object: one module for each kind of object."""
