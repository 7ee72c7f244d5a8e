"""What the bot knows, and what it says."""
