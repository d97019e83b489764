"""The number of threads: the fastest is found and kept, whatever else the cores have to do, and changes no byte."""

import numpy as np
import pytest

from mlcore.sentiment.pace import Pace

QUIET, BUSY = {1: 1.5e-4, 2: 1e-4, 4: 0.7e-4, 8: 0.9e-4}, {1: 1.6e-4, 2: 9e-4, 4: 1e-3, 8: 2e-3}  # s per batch


def simulate(pace, takes, seconds, random=None):
    """Batches that are done in these seconds when n threads take ``takes[n]`` for one; random spreads this widely."""
    spent = batches = 0
    while spent < seconds:
        number, many = pace.next_part()
        spread = random.choice([0.4, 0.8, 1.8]) if random else 1
        pace.took(number, many, many * takes[number] * spread)
        spent, batches = spent + many * takes[number] * spread, batches + many
    return batches


@pytest.mark.parametrize("takes", [QUIET, BUSY, {1: 1e-5, 2: 2e-5, 4: 4e-5, 8: 9e-5}])
@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_the_fastest_number_is_used_from_the_start(most, takes):
    takes = takes | {3: 2e-4}
    pace = Pace(most)
    best = min(takes[number] for number in pace.numbers)
    assert 1 in pace.numbers
    assert pace.numbers[-1] == most
    assert simulate(pace, takes, 0.25) * best > 0.25 * 0.8  # five epochs of IMDb
    assert simulate(pace, takes, 10) * best > 10 * 0.95


def test_it_follows_other_processes_as_they_come_and_go_and_times_that_vary():
    pace = Pace(2)
    for takes in (QUIET, BUSY, QUIET, BUSY):
        simulate(pace, takes, 3)
        assert simulate(pace, takes, 1) * min(takes[1], takes[2]) > 0.9
    for seed in range(5):
        assert simulate(Pace(2), BUSY, 5, np.random.default_rng(seed)) * BUSY[1] > 5 / 1.3


def test_a_part_is_short_enough_for_an_interrupt():
    pace = Pace(2)
    for _ in range(500):
        number, many = pace.next_part()
        assert many * QUIET[number] < 0.1
        pace.took(number, many, many * QUIET[number])
