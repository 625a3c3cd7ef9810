"""Coverage-guided fuzzing with atheris: `make fuzz SECONDS=60`."""
