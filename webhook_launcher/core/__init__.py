"""DECIDE: no I/O, no clock, no threads. Everything here is a pure function of its arguments."""
