"""Why a call to the outside failed, below the layers of the libraries that it went through."""

from collections.abc import Sequence


def causes(error: BaseException) -> Sequence[BaseException]:
    """The error and what it was raised from, outermost first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def system_error(error: BaseException) -> OSError | None:
    """What the operating system said; None when it said nothing."""
    said = [one for one in causes(error) if isinstance(one, OSError) and one.strerror]
    return said[-1] if said else None


def in_words(error: BaseException, otherwise: str) -> str:
    """What the system said, to be put behind a colon."""
    said = system_error(error)
    # `strerror` of an OSError that a library made may be anything.
    words = str(said.strerror) if said else otherwise
    return words[:1].lower() + words[1:]
