"""What the kernel log says is wrong with a host."""
