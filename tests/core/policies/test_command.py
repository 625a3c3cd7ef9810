"""A check of the user's own: only its own yes, for this image, is a yes."""

import pytest

from tests.core.policies.judged import FACTS, candidate
from webhook_launcher.core.errors import PolicyRefusedError
from webhook_launcher.core.evidence import Answer, Check, Evidence
from webhook_launcher.core.policies import Command

CHECK = Check(("/usr/bin/scan", "--strict"))
POLICY = Command(CHECK)


def answered(answer: Answer, check: Check = CHECK) -> Evidence:
    """A check was run and said this."""
    return Evidence(FACTS, answers={check: answer})


def test_status_0_admits_with_what_it_said() -> None:
    """Its last line is evidence."""
    assert POLICY.verify(candidate(answered(Answer(0, "no findings")))) == "no findings"
    assert POLICY.verify(candidate(answered(Answer(0, "")))) == "/usr/bin/scan exited with status 0"


@pytest.mark.parametrize("status", [1, 2, 127, -9])
def test_any_other_status_refuses(status: int) -> None:
    """A scanner that crashed has found nothing."""
    with pytest.raises(PolicyRefusedError, match=f"exited with status {status}: 3 findings"):
        POLICY.verify(candidate(answered(Answer(status, "3 findings"))))


@pytest.mark.parametrize("other", [Check(("/usr/bin/scan",)), Check(CHECK.argv, 1.0)])
def test_the_answer_of_another_check_does_not_count(other: Check) -> None:
    """Two checks that differ in one argument ask two things."""
    with pytest.raises(PolicyRefusedError, match="was not asked"):
        POLICY.verify(candidate(answered(Answer(0, "fine"), other)))
    assert POLICY.needs == {CHECK}
