"""What is done to an instance of a provider, whoever asks: it is created, watched and terminated, each once."""
