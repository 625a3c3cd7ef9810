"""Who comes next when many want something."""

from webhook_launcher.web.turns import Lanes, Turns


def test_a_source_with_one_item_waits_for_one_of_each_other() -> None:
    """However many the others have: that is what keeps an honest sender's answer in its budget."""
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.add("flood", "1.2.3.4", f"flood {number}")
    turns.add("honest", "1.2.3.4", "honest")
    assert [turns.take() for _ in range(2)] == ["flood 0", "honest"]
    assert len(turns) == 99


def test_clients_of_one_source_take_turns_too() -> None:
    """A forger that has found the path of a source must not push out its real sender."""
    turns: Turns[str] = Turns()
    for number in range(100):
        turns.add("ghcr", "forger", f"forged {number}")
    turns.add("ghcr", "sender", "honest")
    turns.add("other", "sender", "other")
    assert [turns.take() for _ in range(3)] == ["forged 0", "other", "honest"]


def test_what_one_client_sends_stays_in_order() -> None:
    """Newest wins: so the order in which they came must not change."""
    turns: Turns[int] = Turns()
    for number in range(10):
        turns.add("ghcr", "sender", number)
    assert [turns.take() for _ in range(10)] == list(range(10))
    assert not len(turns)


def test_a_lane_has_only_so_many_under_way() -> None:
    """A source whose key server does not answer must not take every thread."""
    lanes: Lanes[int] = Lanes(2)
    for number in range(4):
        lanes.add("oidc", number)
    lanes.add("sns", 9)
    assert [lanes.take("oidc") for _ in range(3)] == [0, 1, None]
    assert lanes.take("sns") == 9
    lanes.done("oidc")
    assert [lanes.take("oidc") for _ in range(2)] == [2, None]
    assert lanes.take("unknown") is None
