"""How fast to ask: what refusals, hints, failures and good answers teach."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtrio._counts import Counts
from vtrio._outage import GROWTH, LOAD
from vtrio._pace import LONGEST_PAUSE, Pace


def refuse(pace: Pace, now: float, hint: float | None = None) -> None:
    """Send a request that is refused at once."""
    pace.refused(pace.take(now), now=now, hint=hint)


def answer(pace: Pace, now: float, *, is_busy: bool = True) -> None:
    """Send a request that is answered at once."""
    pace.answered(pace.take(now, waited=is_busy), now=now, waiting=int(is_busy))


def test_nothing_is_slowed_before_the_first_refusal() -> None:
    """A thousand may go in one instant."""
    pace = Pace()
    for _ in range(1000):
        assert pace.next_at(5.0) == 5.0
        answer(pace, 5.0)
    assert pace.rate(5.0) == math.inf


def test_a_limit_of_the_callers_holds_from_the_first_request_on() -> None:
    """Evenly spread; what was not used is not made up for."""
    pace = Pace(max_rate=4)
    pace.take(0.0)
    assert pace.next_at(0.0) == 0.25
    assert pace.next_at(9.0) == 9.0
    pace.take(9.0)
    assert pace.next_at(9.0) == 9.25
    assert pace.next_at(9.0, lone=True) == 9.25


def test_the_first_refusal_leaves_what_the_last_second_held() -> None:
    """A twentieth less than that; never less than ten a second."""
    pace = Pace()
    for step in range(40):
        answer(pace, 0.5 + step / 40)
    refuse(pace, 1.5)
    assert pace.rate(1.5) == pytest.approx(0.95 * 40, rel=0.1)
    pace = Pace()
    refuse(pace, 0.0)
    assert pace.rate(0.0) == 10.0
    assert pace.next_at(0.0) == 0.1
    assert pace.next_at(0.0, lone=True) == 0.0


def test_good_answers_beside_the_first_refusal_count() -> None:
    """Whichever of them is heard of first."""
    pace = Pace()
    tickets = [pace.take(0.0) for _ in range(20)]
    for ticket in tickets[10:]:
        pace.refused(ticket, now=0.1, hint=None)
    for ticket in tickets[:10]:
        pace.answered(ticket, now=0.1, waiting=5)
    assert pace.rate(0.1) == pytest.approx(95.0)


def test_refusals_of_what_was_on_its_way_lower_nothing_more() -> None:
    """Twenty at once are one piece of news."""
    pace = Pace()
    tickets = [pace.take(0.0) for _ in range(20)]
    for ticket in tickets:
        pace.refused(ticket, now=0.1, hint=None)
    assert pace.rate(0.1) == 10.0


def test_where_everything_is_refused_the_rate_halves_down_to_a_trial() -> None:
    """One request in five seconds is asked of a server that gives nothing."""
    pace = Pace()
    now, rates = 0.0, []
    for _ in range(8):
        refuse(pace, now)
        rates.append(pace.rate(now))
        now = pace.next_at(now)
    assert rates == [10.0, 5.0, 2.5, 1.25, 0.625, 0.3125, 0.2, 0.2]


def test_after_such_a_time_it_does_not_begin_at_the_trials() -> None:
    """A quarter of the rate before them, and twice as much each second."""
    pace = Pace()
    for _ in range(8):
        refuse(pace, 0.0)
    answer(pace, 0.0)
    assert pace.rate(0.0) == 2.5
    answer(pace, 0.5)
    assert pace.rate(0.5) == 2.5 * 2**0.5
    answer(pace, 1.0)
    assert pace.rate(1.0) == pytest.approx(5.0)


def test_between_two_refusals_a_server_gives_what_it_allows() -> None:
    """The good answers in between, by the seconds, whatever was asked of it."""
    pace = Pace()
    refuse(pace, 0.0)
    for step in range(1, 201):
        answer(pace, step / 40)
    refuse(pace, 5.0)
    assert pace.rate(5.0) == pytest.approx(0.95 * 40, rel=0.01)


def test_the_rate_goes_slowly_around_the_limit_and_faster_beyond() -> None:
    """By answers: a hundred to the limit, as many to a twentieth above it."""
    pace = Pace()
    refuse(pace, 0.0)
    for step in range(1, 201):
        answer(pace, step / 40)
    refuse(pace, 5.0)
    limit = pace.rate(5.0) / 0.95
    rates = []
    for step in range(1, 401):
        answer(pace, 5.0 + step / 40)
        rates.append(pace.rate(20.0) / limit)
    assert rates == sorted(rates)
    assert rates[99] == pytest.approx(1.0)
    assert rates[199] == pytest.approx(1.05)
    assert rates[299] == pytest.approx(1.4)


def test_a_pause_holds_for_all_and_is_never_shortened() -> None:
    """Nor is it ever longer than five minutes."""
    pace = Pace()
    refuse(pace, 10.0, hint=20.0)
    assert pace.paused_until(10.0) == 30.0
    assert pace.next_at(10.0) == 30.0
    refuse(pace, 11.0, hint=1.0)
    assert pace.next_at(11.0) == 30.0
    assert pace.paused_until(30.0) is None
    refuse(pace, 40.0, hint=1e9)
    assert pace.next_at(40.0) == 40.0 + LONGEST_PAUSE


def test_after_a_pause_requests_go_in_a_row() -> None:
    """What has gathered is no herd."""
    pace = Pace()
    refuse(pace, 0.0, hint=20.0)
    now, instants = 0.0, []
    for _ in range(4):
        now = pace.next_at(now)
        pace.take(now, waited=True)
        instants.append(now)
    assert instants == pytest.approx([20.0, 20.1, 20.2, 20.3])


def test_who_is_woken_late_holds_up_nobody_else() -> None:
    """The row goes on from the instants, by up to 20 ms; idleness is not made up."""
    pace = Pace(max_rate=100)
    pace.take(1.0)
    pace.take(1.015, waited=True)
    assert pace.next_at(1.015) == pytest.approx(1.02)
    pace.take(2.0, waited=True)
    assert pace.next_at(2.0) == 2.0
    pace.take(3.0)
    assert pace.next_at(3.0) == 3.01


def test_a_herd_takes_a_second() -> None:
    """Less than a hundred go as places become free."""
    pace = Pace()
    pace.gather(99, now=0.0)
    assert pace.rate(0.0) == math.inf
    pace.gather(400, now=0.0)
    pace.gather(200, now=0.5)
    assert pace.rate(0.5) == 400.0
    pace.gather(0, now=1.0)
    assert pace.rate(1.0) == math.inf


def test_a_herd_that_others_join_is_hurried() -> None:
    """Or it would last for as long as they come."""
    pace = Pace()
    pace.gather(200, now=0.0)
    pace.gather(300, now=1.0)
    assert pace.rate(1.0) == 300.0
    assert pace.rate(3.0) == 1200.0


def test_a_minute_without_refusal_and_without_a_queue_sets_free() -> None:
    """Everything is as before the first refusal."""
    pace = Pace()
    refuse(pace, 0.0)
    answer(pace, 1.0)
    answer(pace, 60.9, is_busy=False)
    assert pace.rate(60.9) < math.inf
    answer(pace, 61.0, is_busy=False)
    assert pace.rate(61.0) == math.inf


def go_down(pace: Pace, *, load: int) -> float:
    """Answer so many requests over 30 s, then fail five."""
    for step in range(load):
        answer(pace, 30 * step / load, is_busy=False)
    for _ in range(5):
        pace.take(29.99)
        pace.failed(now=29.99)
    return 29.99


def test_an_outage_caps_the_load_at_what_it_was() -> None:
    """Five failures, more than half of the latest outcomes."""
    pace = Pace()
    now = go_down(pace, load=600)
    assert pace.rate(now) == math.inf
    for _ in range(6):
        pace.failed(now=now)
    assert pace.rate(now) == pytest.approx(LOAD * 20, rel=0.01)


def test_a_low_load_is_capped_at_a_hundred_in_half_a_minute() -> None:
    """They do no harm; a herd that happens to come just then would."""
    pace = Pace()
    now = go_down(pace, load=60)
    for _ in range(20):
        pace.failed(now=now)
    assert pace.rate(now) == LOAD * 100 / 30


def test_whoever_has_gathered_in_an_outage_is_asked_for_within_ten_seconds() -> None:
    """However little was asked before it; a relapse brings that back."""
    pace = Pace()
    now = go_down(pace, load=60)
    for _ in range(20):
        pace.failed(now=now)
    pace.answered(pace.take(40.0), now=40.0, waiting=900)
    assert pace.rate(40.0) == 90.0
    pace.failed(now=41.0)
    assert pace.rate(41.0) == LOAD * 100 / 30


def test_after_an_outage_the_load_grows_until_nobody_waits() -> None:
    """By a quarter a second."""
    pace = Pace()
    now = go_down(pace, load=600)
    for _ in range(20):
        pace.failed(now=now)
    cap = pace.rate(now)
    for step in range(12):
        answer(pace, 40.0 + step / 12)
    assert pace.rate(42.0) == pytest.approx(cap * GROWTH**2)
    pace.failed(now=42.0)
    assert pace.rate(42.0) == pytest.approx(cap * GROWTH**2)
    answer(pace, 42.0, is_busy=False)
    assert pace.rate(42.0) == math.inf


def test_a_relapse_brings_the_cap_back() -> None:
    """One good answer among failures is no recovery."""
    pace = Pace()
    now = go_down(pace, load=600)
    for _ in range(20):
        pace.failed(now=now)
    cap = pace.rate(now)
    answer(pace, 40.0)
    assert pace.rate(44.0) > cap
    pace.failed(now=44.0)
    assert pace.rate(44.0) == cap


def test_credits_are_spent_and_earned() -> None:
    """Ten to begin with, and one for ten good answers, up to a tenth of the load."""
    pace = Pace()
    for _ in range(10):
        assert pace.has_credit
        pace.pay()
    assert not pace.has_credit
    for step in range(11):
        answer(pace, step / 100)
    assert pace.has_credit
    for step in range(2000):
        answer(pace, 1 + step / 200)
    spent = 0
    while pace.has_credit:
        pace.pay()
        spent += 1
    assert 150 <= spent <= 200


def test_counts_forget_what_is_too_old() -> None:
    """A total is never more than its time has held."""
    counts = Counts(1.0, 3)
    assert counts.add(0.5)
    assert counts.total(0.5) == 1
    assert counts.add(2.2)
    assert not counts.add(2.9)
    assert counts.total(2.9) == 3
    assert counts.total(3.0) == 2
    assert counts.rate(3.0) == 2.0
    assert counts.total(1e9) == 0
    assert counts.rate(1e9) == 0.0


Event = tuple[str, float, float | None]


@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["good", "refused", "failed"]),
            st.floats(0, 100),
            st.none() | st.floats(0, 1e6),
        ),
        max_size=200,
    ),
    max_rate=st.none() | st.floats(0.01, 1e4),
)
def test_whatever_happens_the_pace_keeps_its_bounds(
    events: list[Event], max_rate: float | None
) -> None:
    """No instant lies in the past or further than a pause and a trial ahead."""
    pace = Pace(max_rate=max_rate)
    now, paused = 0.0, -math.inf
    longest = LONGEST_PAUSE + max(20.0, 1 / (max_rate or 1))
    for kind, passed, hint in events:
        now += passed
        at = pace.next_at(now)
        assert now <= at <= now + longest
        assert pace.next_at(now, lone=True) <= at
        ticket = pace.take(at, waited=at > now)
        now = at
        match kind:
            case "good":
                pace.answered(ticket, now=now, waiting=int(passed < 1))
            case "refused":
                pace.refused(ticket, now=now, hint=hint)
            case _:
                pace.failed(now=now)
        assert pace.rate(now) >= 0.05 * 0.95 or pace.rate(now) == max_rate
        assert pace.rate(now) <= (max_rate or math.inf)
        until = pace.paused_until(now)
        assert until is None or paused <= until <= now + LONGEST_PAUSE
        paused = until or paused
