"""What it means: pure, nothing here awaits, executes source or reads a clock."""
