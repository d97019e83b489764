"""How many threads to train with, when other processes may want the cores too."""

FIRST = 2  # batches of the first part with each number of threads
# Seconds that parts should take: those with the fastest number, and looks at others, which must be long enough for the
# time that threads take to wake up not to count
PART, LOOK = 0.05, 0.006
LOOKING = 0.04  # share of the time that goes into looks
MEMORY = 0.1  # seconds with a number of threads that are remembered


class Pace:
    """How many threads to train the next batches with: as many as have been the fastest lately.

    Threads wait for each other several times in a batch. Where there is little to do in between, or where another
    process takes one of the cores, one thread is faster than two; which it is, only a clock can tell. Therefore each
    number of threads is tried, the fastest is used, and the next larger and smaller one are looked at from time to
    time. What is trained does not depend on it.

    ``most`` is the largest number; the others are the powers of two below it.
    """

    def __init__(self, most: int) -> None:
        self.numbers = [*(2**i for i in range((most - 1).bit_length())), most]
        self.seconds, self.batches = (dict.fromkeys(self.numbers, 0.0) for _ in range(2))  # those remembered
        self.total = self.looking = 0.0  # seconds
        self.looks = 0

    def next_part(self) -> tuple[int, int]:
        """Number of threads to use next, and for how many batches."""
        best = min(self.numbers, key=self._per_batch)
        if not self.batches[best]:
            return best, FIRST
        place = self.numbers.index(best)
        others = self.numbers[max(place - 1, 0) : place] + self.numbers[place + 1 : place + 2]
        if others and self.looking <= LOOKING * self.total:
            self.looks += 1
            number, seconds = others[self.looks % len(others)], LOOK
        else:  # a number that has seemed fast for a moment is not trusted for much longer than that
            number, seconds = best, min(PART, 2 * self.seconds[best])
        return number, max(1, int(seconds / self._per_batch(number)))

    def took(self, number: int, batches: int, seconds: float) -> None:
        """Take a note of what so many batches have taken with this number of threads."""
        if number != min(self.numbers, key=self._per_batch) or not self.batches[number]:
            self.looking += seconds
        self.total += seconds
        self.seconds[number] += seconds
        self.batches[number] += batches
        forget = min(1.0, MEMORY / self.seconds[number])
        self.seconds[number] *= forget
        self.batches[number] *= forget

    def _per_batch(self, number: int) -> float:
        return self.seconds[number] / self.batches[number] if self.batches[number] else 0.0
