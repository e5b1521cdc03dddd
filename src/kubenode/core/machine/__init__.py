"""One machine: which phase it is in, what is said of it, and what of it shows on its Node."""
