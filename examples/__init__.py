"""Programs that show asyncmeta at work; each is run from the project's root."""
