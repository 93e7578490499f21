"""What the data hold, what is wrong with them, and what to leave out; nothing is ever deleted."""
