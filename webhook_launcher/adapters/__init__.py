"""TOUCH: one file per outside thing. Adapters match the launcher's Protocols by shape."""
