"""What is told of an error that libraries wrapped."""

import errno

import pytest

from webhook_launcher.core.causes import causes, in_words, system_error


def wrapped(inner: Exception) -> Exception:
    """As urllib3 and requests do it: with `from`, and by raising while another is handled."""
    try:
        try:
            try:
                raise inner  # noqa: TRY301 - the chain is what is tried
            except Exception as error:
                raise ValueError("Connection aborted.") from error
        except ValueError:
            raise OSError("('Connection aborted.', …)")  # noqa: B904 - as requests does
    except OSError as error:
        return error


def test_the_systems_words_are_found_below_those_of_libraries() -> None:
    """A tuple in a message says nothing to who must act."""
    error = wrapped(FileNotFoundError(errno.ENOENT, "No such file or directory"))
    assert in_words(error, otherwise="?") == "no such file or directory"
    said = system_error(error)
    assert said is not None
    assert said.errno == errno.ENOENT
    assert len(causes(error)) == 3


@pytest.mark.parametrize("inner", [ValueError("x"), OSError("without a number")])
def test_what_the_system_did_not_say_is_not_made_up(inner: Exception) -> None:
    """Then the caller has words of its own."""
    assert system_error(wrapped(inner)) is None
    assert in_words(wrapped(inner), otherwise="it breaks off") == "it breaks off"


def test_errors_that_name_each_other_end() -> None:
    """A cycle is possible, and a message must not cost the thread."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert list(causes(one)) == [one, other]
