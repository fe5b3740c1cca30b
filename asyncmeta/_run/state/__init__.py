"""What a scope and a container hold, and who waits for it."""
