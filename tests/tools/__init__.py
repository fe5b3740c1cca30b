"""What is used beside a program: the command line, reports and diagrams, the tools for tests."""
