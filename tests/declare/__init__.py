"""What is written: decorators, parameters, classes, attributes, provider lists."""
