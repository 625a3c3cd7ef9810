"""Parsers of the kinds' own configuration keys; the text of a ValueError says what to write."""


def text_option(value: object) -> str:
    """Non-empty text."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


def flag_option(value: object) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def texts_option(value: object) -> tuple[str, ...]:
    """One text, or a list of several."""
    found = value if isinstance(value, list) else [value]
    if not found:
        raise ValueError("must be a list of at least one text")
    return tuple(text_option(entry) for entry in found)
