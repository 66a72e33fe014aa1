"""What decides which model is in use: two networks on the same test data, and the card that each carries."""
