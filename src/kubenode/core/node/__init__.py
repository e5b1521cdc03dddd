"""What is done to a Node, whoever asks."""
