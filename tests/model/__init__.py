"""The protocol as a small model, searched over all interleavings, and walked through the real code."""
