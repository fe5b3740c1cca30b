"""How what was set up is torn down."""
