"""The pages that we write: what they say is true."""
