"""Pairs of a feature and the word behind it, which is what an n-gram is kept as: tables of them, and the frequent ones.

A pair is one number, its key: ``feature << 32 | word``.
"""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import NamedTuple, TypeVar

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.kernels.simd import mix_bits
from mlcore.text.pool import in_order
from mlcore.text.vocabulary import UNKNOWN, TokenIds

KEYS_AT_A_TIME = 1 << 24  # counted in one turn; they take twelve bytes each
KEYS_IN_BUCKET = 1 << 15  # so that a bucket is counted in the second-level cache

Part = TypeVar("Part")


class PairTable:
    """Distinct pairs in the order of their numbers, which begin at ``first``; ``keys``: (m,) int64."""

    def __init__(self, first: int, keys: np.ndarray) -> None:
        self.first, self.keys = first, keys

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def slots(self) -> np.ndarray:
        """Hash table of the places of keys, with linear probing, at most half full: made when it is first needed.

        Two threads that need it at once may both make it, which is no harm.
        """
        slots = np.full(room_for(len(self)), UNKNOWN, np.int32)
        fill_pairs(self.keys, slots)
        return slots

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """Number the pairs; those not in the table are UNKNOWN: (t,) int64 -> (t,) int32."""
        ids = np.empty(len(keys), np.int32)
        find_pairs(keys, self.first, self.keys, self.slots, ids)
        return ids


def room_for(pairs: int) -> int:
    """Number of slots, a power of two, of which the pairs take at most half."""
    return max(4, 1 << (2 * pairs).bit_length())


def pair_up(ids: np.ndarray, words: TokenIds, chosen: np.ndarray | None = None) -> np.ndarray:
    """Key of each token's pair: what ends at the token before, and the token's word; UNKNOWN where either is.

    Shapes: ids (t,) of features that end at each token, chosen (n,) bool, the texts that have pairs, by default all
    -> (t,) int64.
    """
    keys = np.empty(len(ids), np.int64)
    pair_keys(ids, words.ids, words.offsets, np.ones(words.n_texts, bool) if chosen is None else chosen, keys)
    return keys


class Buckets(NamedTuple):
    """Keys of a part by bucket: b has keys[bounds[b]:bounds[b + 1]] in the order of the tokens, with their places."""

    keys: np.ndarray  # (m,) int64
    places: np.ndarray  # (m,) int32, counted from the first token of the part
    bounds: np.ndarray  # (buckets + 1,) int64
    size: int  # tokens of the part, with and without a key


def frequent_pairs(
    parts: Callable[[], Iterable[Part]],
    keys_of: Callable[[Part], np.ndarray],
    tokens: int,
    min_count: int,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the pairs that occur at least ``min_count`` times, the most frequent first (on ties, the earlier one),
    and their counts: (m,) and (m,) int64.

    The keys are dealt out to buckets by their hash, and each bucket is counted on its own, in a table that fits into
    the cache; which thread does it makes no difference. Where there are very many tokens, each turn takes a share of
    the keys only, so that memory is needed for these and for the pairs that are kept.

    ``parts`` gives the parts of the texts, anew for each turn; ``keys_of`` the keys of a part, UNKNOWN where a token
    has no pair: (t,) int64. ``tokens``: how many tokens there are in all.
    """
    turns = max(1, -(-tokens // KEYS_AT_A_TIME))
    buckets = 1 << (tokens // turns // KEYS_IN_BUCKET).bit_length()
    kept = [(np.zeros(0, np.int64),) * 3]
    for turn in range(turns):
        dealt = list(in_order(partial(_deal, keys_of, turn, turns, buckets), parts(), threads))
        starts = np.cumsum([0, *(part.size for part in dealt[:-1])])
        kept.extend(in_order(partial(_count, dealt, starts, min_count), range(buckets if dealt else 0), threads))
    keys, counts, firsts = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    order = np.lexsort((firsts, -counts))
    return keys[order], counts[order]


def _deal(keys_of: Callable[[Part], np.ndarray], turn: int, turns: int, buckets: int, part: Part) -> Buckets:
    keys = keys_of(part)
    bounds = np.zeros(buckets + 2, np.int64)
    count_buckets(keys, turn, turns, bounds)
    np.cumsum(bounds, out=bounds)
    dealt = Buckets(np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int32), bounds[:-1], len(keys))
    fill_buckets(keys, turn, turns, bounds, dealt.keys, dealt.places)
    return dealt


def _count(dealt: list[Buckets], starts: np.ndarray, min_count: int, bucket: int) -> tuple[np.ndarray, ...]:
    """The frequent pairs of a bucket, their counts and the tokens of their first occurrences, in any order.

    ``starts``: the first token of each part.
    """
    slices = [slice(part.bounds[bucket], part.bounds[bucket + 1]) for part in dealt]
    keys = np.concatenate([part.keys[at] for part, at in zip(dealt, slices, strict=True)])
    places = np.concatenate([start + part.places[at] for part, at, start in zip(dealt, slices, starts, strict=True)])
    distinct, counts, firsts = (np.empty(len(keys), np.int64) for _ in range(3))
    slots = np.full(room_for(len(keys)), UNKNOWN, np.int32)
    found = count_pairs(keys, places, slots, distinct, counts, firsts)
    frequent = np.flatnonzero(counts[:found] >= min_count)
    return distinct[frequent], counts[frequent], firsts[frequent]


@kernel
def pair_slot(key, keys, slots):
    """Slot of a pair: its own, or the free one where it belongs."""
    mask = slots.shape[0] - 1
    slot = mix_bits(key) & mask
    while slots[slot] != UNKNOWN and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def find_pairs(keys, first, known, slots, ids):
    """Number each pair, from ``first`` on, UNKNOWN where it is not known: overwrite ids.

    Shapes: keys (t,), known (pairs,) the keys in the table, slots a power of two -> ids (t,).
    """
    for t in range(keys.shape[0]):
        ids[t] = UNKNOWN
        if keys[t] != UNKNOWN:
            pair = slots[pair_slot(keys[t], known, slots)]
            if pair != UNKNOWN:
                ids[t] = first + pair


@kernel
def fill_pairs(keys, slots):
    """Enter distinct pairs into empty slots."""
    for pair in range(keys.shape[0]):
        slots[pair_slot(keys[pair], keys, slots)] = pair


@kernel
def pair_keys(ids, words, offsets, chosen, keys):
    """Key of each token's pair, ``ids of the token before << 32 | word``: overwrite keys.

    UNKNOWN where either is unknown, at the first token of a text, and in texts that are not chosen.

    Shapes: ids and words (t,), offsets (n + 1,), chosen (n,) bool -> keys (t,).
    """
    for text in range(offsets.shape[0] - 1):
        before = UNKNOWN
        for t in range(offsets[text], offsets[text + 1]):
            keys[t] = UNKNOWN
            if before != UNKNOWN and words[t] != UNKNOWN and chosen[text]:
                keys[t] = np.int64(before) << 32 | np.int64(words[t])
            before = ids[t]


@kernel
def bucket_of(key, turn, turns, buckets):
    """Bucket that a key belongs to in this turn, or UNKNOWN if it has none then, or none at all.

    The hash is mixed once more, so that the keys of a bucket still have different slots. The turn is 16 bits scaled to
    the number of turns, for a division would take longer than all else. The product stays below 2 ** 63.
    """
    value = (mix_bits(key) & 0xFFFFFFFF) * 0x1E3779B1
    if key == UNKNOWN or (value >> 40 & 0xFFFF) * turns >> 16 != turn:
        return UNKNOWN
    return value >> 24 & (buckets - 1)


@kernel
def count_buckets(keys, turn, turns, bounds):
    """Count the keys of each bucket b: add to bounds[b + 2].

    Shapes: keys (t,) -> bounds (buckets + 2,).
    """
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, bounds.shape[0] - 2)
        if bucket != UNKNOWN:
            bounds[bucket + 2] += 1


@kernel
def fill_buckets(keys, turn, turns, bounds, dealt, places):
    """Deal out the keys, and the places where they were: overwrite dealt and places.

    bounds[b + 1] is where bucket b begins, and afterwards where it ends.

    Shapes: keys (t,), bounds (buckets + 2,) -> dealt and places (m,).
    """
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, bounds.shape[0] - 2)
        if bucket != UNKNOWN:
            place = bounds[bucket + 1]
            dealt[place] = keys[t]
            places[place] = t
            bounds[bucket + 1] += 1


@kernel
def count_pairs(keys, places, slots, distinct, counts, firsts):
    """Find the distinct keys, in the order of their first occurrence: overwrite the last three and the empty slots.

    Returns their number m.

    Shapes: keys and places (t,), slots a power of two, more than t -> distinct, counts and firsts (t,), of which the
    first m are overwritten.
    """
    found = 0
    for t in range(keys.shape[0]):
        slot = pair_slot(keys[t], distinct, slots)
        if slots[slot] == UNKNOWN:
            slots[slot] = found
            distinct[found] = keys[t]
            firsts[found] = places[t]
            counts[found] = 0
            found += 1
        counts[slots[slot]] += 1
    return found
