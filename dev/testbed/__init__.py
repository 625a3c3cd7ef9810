"""A machine to test on: engine, compose and registry, found or made, and taken away again."""
