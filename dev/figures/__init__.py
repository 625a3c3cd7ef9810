"""What `make bench` measures: one module a figure, each with `measure` and what it found.

A part returns a `Figure`: lines for people, a document for programs, and panels for the picture.
"""
