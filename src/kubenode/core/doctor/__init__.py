"""What clouds tell of the hosts of instances, as conditions of their Nodes: planned maintenance, and failures."""
