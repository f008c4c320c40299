"""The chat in the terminal. Textual is imported in here alone, and only when the command runs."""
