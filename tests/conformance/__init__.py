"""The source documents, claim by claim."""
