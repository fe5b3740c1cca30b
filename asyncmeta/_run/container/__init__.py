"""The public container, its kinds, and how it opens and ends."""
