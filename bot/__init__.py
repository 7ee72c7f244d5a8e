"""How the bot runs."""
