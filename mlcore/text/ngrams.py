"""Features of a text: its known words and n-grams of words, numbered exactly, without hashing two into one.

An n-gram is kept as a pair: the number of the n-gram without its last word, and that word; as one number, its key, it
is ``feature << 32 | word``. An n-gram cannot occur more often than that shorter one, so that counting and pruning go
level by level: what is pruned at one level need not be counted at the next.

How a text begins, such as with "what is", often says what it is. So the beginning counts as a word, written ^, whose
number is BEGIN, before the first words: with pairs, "^ what" and "^ what is" are features.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import mix_bits
from mlcore.text.documents import ENTRIES, Documents, sort_and_count
from mlcore.text.pool import in_order
from mlcore.text.tokenizer import Scratch, tokenise
from mlcore.text.vocabulary import TOKENS, UNKNOWN, Tokens, WordTable, chunks_of, find_slot, free_slots, slots_of

WORDS = 1 << 16  # cut into characters at a time
BEGIN = -1  # where an n-gram would have the number of a shorter one
KEYS_AT_A_TIME = 1 << 24  # counted in one turn; they take twelve bytes each
KEYS_IN_BUCKET = 1 << 15  # so that a bucket is counted in the second-level cache
COMPARED = 50_000  # most frequent words that unknown ones may be misspellings of; their spellings take about 20 MB
Counted = tuple[np.ndarray, np.ndarray]  # keys of n-grams, and how often they occur
MISSPELT = range(4, 65)  # characters of an unknown word that is taken for a known one
SIGNS = {"^ ": "^ is the beginning of the text", "[": "[...] is a part of a word, < and > are its ends"}


def legend(names: Iterable[str]) -> str:
    """What the signs in these names of features mean; empty if there are none."""
    seen = {sign for name in names for sign in SIGNS if name.startswith(sign)}
    return "; ".join(meaning for sign, meaning in SIGNS.items() if sign in seen)


class Choice(NamedTuple):
    """Which features of texts are chosen; of those that are as frequent as each other, words come before n-grams of
    words, and these before those of characters; then the shorter and earlier ones.
    """

    ngrams: int  # words in the longest
    min_count: int  # occurrences in the texts
    max_features: int | None  # so many, the most frequent
    binary: bool  # each counts once in a text
    characters: range = range(0)  # in the n-grams within a word


class Pieces(NamedTuple):
    """Known n-grams of characters within words, such as ``<goo``."""

    table: WordTable
    sizes: range  # numbers of characters

    def of_words(self, words: WordTable, new: bool = False) -> Tokens:
        """Number of each n-gram of characters of each word, UNKNOWN if not known; ``new`` ones are added."""
        number, cut = self.table.add_spans if new else self.table.look_up_spans, partial(words.cut, sizes=self.sizes)
        bounds = [*range(0, len(words), WORDS), len(words)]
        parts = (cut(first, last) for first, last in pairwise(bounds))
        return Tokens.joined(Tokens(number(part), part.offsets) for part in parts)


NO_PIECES = Pieces(WordTable(), range(0))


@dataclass(eq=False)
class Features:
    """Known words and n-grams with their numbers: first the words, then the pairs, then the triples of words, then how
    texts begin, then the n-grams of characters.
    """

    words: WordTable
    ngrams: np.ndarray  # (m,) int64 keys of the n-grams of words
    largest: int  # words in an n-gram
    binary: bool  # each feature counts once in a text, however often it occurs
    pieces: Pieces = NO_PIECES

    def __len__(self) -> int:
        return self.first_piece + len(self.pieces.table)

    @property
    def depth(self) -> int:
        """Number of words in the longest n-gram, the beginning of a text being one."""
        return self.largest + (self.largest > 1)

    @property
    def first_piece(self) -> int:
        """Number of the first n-gram of characters."""
        return len(self.words) + len(self.ngrams)

    @cached_property
    def _slots(self) -> np.ndarray:
        """Hash table of the n-grams; two threads may both make it, which does no harm."""
        return np.asarray(slots_of(self.ngrams))

    @cached_property
    def _spellings(self) -> tuple[WordTable, np.ndarray]:
        """What the most frequent words are, and are without one of their characters; and the first word with each of
        these spellings, ``len(self.words)`` at the end, for UNKNOWN.
        """
        numbers = np.flatnonzero(self.words.lengths()[:COMPARED] < MISSPELT.stop)
        spelled, table = self.words.select(numbers).shortened(), WordTable()
        ids = table.add_spans(spelled)
        firsts = np.full(len(table) + 1, len(self.words))
        np.minimum.at(firsts, ids, np.repeat(numbers, np.diff(spelled.offsets)))
        return table, firsts

    def alike(self, unknown: WordTable) -> np.ndarray:
        """The most frequent known word that is like each unknown one but for one character, which is wrong, missing,
        one too many, or elsewhere; ``len(self.words)`` if there is none, or it is too short to tell: (w,) int64.
        """
        found, lengths = np.full(len(unknown), len(self.words)), unknown.lengths()
        chosen = np.flatnonzero((lengths >= MISSPELT.start) & (lengths < MISSPELT.stop))
        if len(chosen):
            spelled, (table, firsts) = unknown.select(chosen).shortened(), self._spellings
            found[chosen] = np.minimum.reduceat(firsts[table.look_up_spans(spelled)], spelled.offsets[:-1])
        return found

    def read_as(self, table: WordTable, ids: np.ndarray) -> tuple[WordTable, np.ndarray]:
        """Words ``ids`` of a table as they are read: a table, and their numbers in it, (t,) int32.

        Where words have n-grams of characters, an unknown word is read as the known one that is ``alike``.
        """
        if not self.pieces.sizes:
            return table, ids
        unknown = np.flatnonzero(self.words.numbers_of(table)[:-1] == UNKNOWN)
        known = self.alike(table.select(unknown))
        misspelt = known < len(self.words)
        if not misspelt.any():
            return table, ids
        read, numbers = table.select(np.arange(len(table))), np.arange(len(table), dtype=np.int32)
        numbers[unknown[misspelt]] = read.add_spans(self.words.spans(known[misspelt]))
        return read, numbers[ids]

    @property
    def names(self) -> list[str]:
        """All features in the order of their numbers."""
        return self.names_of(range(len(self)))

    def names_of(self, numbers: Iterable[int]) -> list[str]:
        """Names of these features, such as ``good``, ``not good``, ``^ not``, and of characters ``[<goo]``."""
        return list(map(self._name, numbers))

    def _name(self, number: int) -> str:
        if number >= self.first_piece:
            return f"[{self.pieces.table.word(number - self.first_piece)}]"
        if number < len(self.words):
            return self.words.word(number)
        key = int(self.ngrams[number - len(self.words)])
        before = "^" if key >> 32 == BEGIN else self._name(key >> 32)
        return f"{before} {self.words.word(key & 0xFFFFFFFF)}"

    def select(self, kept: np.ndarray) -> "Features":
        """These features only, (v,) bool; what an n-gram of words is made of must be among them."""
        words, ngrams, pieces = map(np.flatnonzero, np.split(kept, [len(self.words), self.first_piece]))
        return replace(
            self,
            words=self.words.select(words),
            ngrams=translated(self.ngrams[ngrams], np.cumsum(kept) - 1),
            pieces=self.pieces._replace(table=self.pieces.table.select(pieces)),
        )

    def words_in(self) -> np.ndarray:
        """Number of words that each feature consists of, with the beginning, 0 for n-grams of characters: (v,) int8."""
        sizes = np.ones(len(self) + 1, np.int8)  # the last one is that of BEGIN
        for _ in range(1, self.depth):
            sizes[len(self.words) : self.first_piece] = sizes[self.ngrams >> 32] + 1
        sizes[self.first_piece : -1] = 0
        return sizes[:-1]

    def begins(self) -> np.ndarray:
        """Whether each feature is one of the beginning of a text: (v,) bool."""
        found = np.zeros(len(self) + 1, bool)
        found[BEGIN] = True
        for _ in range(self.largest):
            found[len(self.words) : self.first_piece] = found[self.ngrams >> 32]
        return found[:BEGIN]

    def locate(self, words: Tokens, depth: int | None = None) -> np.ndarray:
        """Number of the feature of g = 1, 2, ... words, the beginning of a text being one, that ends at each token, or
        UNKNOWN: (depth, t) int32.
        """
        ids = np.empty((depth or self.depth, len(words.ids)), np.int32)
        ids[0], ends = words.ids, words.offsets[1:]
        for level in range(1, len(ids)):
            if level == self.largest:  # only beginnings have a word more
                ends = np.minimum(ends, words.offsets[:-1] + level)
            keys = pair_up(ids[level - 1], words, ends, level == 1)
            ids[level] = find_pairs(keys, len(self.words), self.ngrams, self._slots)
        return ids

    def keys(self, words: Tokens, chosen: np.ndarray, size: int, begins: bool) -> np.ndarray:
        """Key of the n-gram of so many words that ends at each token of the chosen texts, or UNKNOWN: (t,) int64.

        ``begins``: of the beginning and so many words, in texts cut to these. All but the last word must be a feature.
        """
        before, ends = self.locate(words, size - 1 + begins)[-1], np.where(chosen, words.offsets[1:], 0)
        return np.asarray(pair_up(before, words, ends, begins and size == 1))

    def documents(self, texts: Iterable[str], threads: int = 1) -> Documents:
        """Known features of the texts with their counts."""
        return Documents.joined(documents for documents, *_ in self.read(texts, threads))

    def read(
        self, texts: Iterable[str] | bytes, threads: int = 1
    ) -> Iterator[tuple[Documents, np.ndarray, np.ndarray]]:
        """Known features of the texts, and of each text the numbers of known and of all words, part by part.

        Repeats are counted. The texts may be whole lines in UTF-8.
        """
        scratch = Scratch()

        def read(chunk: Any) -> tuple[Documents, np.ndarray, np.ndarray]:
            table, spans = WordTable(), tokenise(chunk, scratch)
            if self.pieces.sizes:  # unknown words have some too
                table, tokens = self.read_as(table, table.add_spans(spans))
                ids = self.words.numbers_of(table)[tokens]
            else:
                ids = tokens = self.words.look_up_spans(spans)
            known = np.append(0, np.cumsum(ids != UNKNOWN))[spans.offsets]
            counted = self.count(Tokens(ids, spans.offsets), tokens, self.spell(table))
            return counted, np.diff(known), np.diff(spans.offsets)

        return in_order(read, chunks_of(texts), threads)

    def documents_of(self, tokens: Tokens, table: WordTable, threads: int = 1) -> Documents:
        """Known features of texts that are words of a table."""
        table, ids = self.read_as(table, tokens.ids)
        numbers, spelled = self.words.numbers_of(table), self.spell(table)

        def count(part: tuple[int, Tokens]) -> Documents:
            _, (ids, offsets) = part
            return self.count(Tokens(numbers[ids], offsets), ids, spelled)

        parts = tokens._replace(ids=ids).parts(TOKENS // 8 if len(spelled.ids) else TOKENS)
        return Documents.joined(in_order(count, parts, threads), self.binary)

    def spell(self, table: WordTable) -> Tokens:
        """Known n-grams of characters of each word of a table, as numbers of features."""
        found = self.pieces.of_words(table)
        known = found.ids != UNKNOWN
        ends = np.append(0, np.cumsum(known))
        return Tokens(found.ids[known] + np.int32(self.first_piece), ends[found.offsets])

    def count(self, words: Tokens, tokens: np.ndarray, spelled: Tokens, binary: bool | None = None) -> Documents:
        """Known features with their counts of texts of known words, which are ``tokens`` of a table, (t,), that is
        ``spelled``; ``binary``: each counts once, or as often as it occurs, if that shall not be as usual.
        """
        binary, bits = self.binary if binary is None else binary, max(len(self) - 1, 0).bit_length()
        return Documents(*sort_and_count(self.locate(words), words.offsets, tokens, spelled, bits, binary, ENTRIES))


def choose_features(
    table: WordTable, tokens: Tokens, rows: np.ndarray, choice: Choice, threads: int = 1,
    least: np.ndarray | None = None,
) -> Features:  # fmt: skip
    """The features of these rows of texts, which are words of a table, whatever the number of threads.

    ``least``: occurrences that make each word a feature, (len(table),); None: ``choice.min_count``.
    """
    chosen = np.zeros(tokens.n_texts, bool)
    chosen[rows] = True

    def count_words(part: tuple[int, Tokens]) -> np.ndarray:
        first, texts = part
        return texts.counts(chosen[first : first + texts.n_texts], len(table))

    def frequent(shorter: Features, size: int, begins: bool) -> Counted:
        numbers = shorter.words.numbers_of(table)

        def keys_of(part: tuple[int, Tokens]) -> np.ndarray:
            first, texts = part
            words = texts._replace(ids=numbers[texts.ids])
            return shorter.keys(words, chosen[first : first + texts.n_texts], size, begins)

        return frequent_pairs(tokens.heads(size) if begins else tokens, keys_of, choice.min_count, threads)

    parts = tokens.parts(max(TOKENS, len(table)))
    counts = sum(in_order(count_words, parts, threads), np.zeros(len(table), np.int64))
    return select_features(table, counts, frequent, choice, least)


def select_features(
    table: WordTable, counts: np.ndarray, frequent: Callable[[Features, int, bool], Counted], choice: Choice,
    least: np.ndarray | None = None,
) -> Features:  # fmt: skip
    """The same of words with these counts, (len(table),).

    ``frequent``: the keys that occur often enough, as ``Features.keys`` has them, the most frequent first, and their
    counts.
    """
    largest, min_count, max_features, binary, characters = choice
    pieces, piece_counts = choose_pieces(table, counts, characters, min_count)
    order = np.argsort(-counts, kind="stable")
    numbers = order[(counts >= (min_count if least is None else least))[order]][:max_features]
    all_counts = [counts[numbers]]
    features = Features(table.select(numbers), np.zeros(0, np.int64), largest, binary)
    levels = [(size, False) for size in range(2, largest + 1)] + [(size, True) for size in range(1, largest + 1)]
    for level in levels if largest > 1 else ():
        # what is beyond the most frequent of one level cannot be among those of all, nor can what begins with it
        keys, counts = (array[:max_features] for array in frequent(features, *level))
        all_counts.append(counts)
        features = replace(features, ngrams=np.concatenate([features.ngrams, keys]))
    all_counts.append(piece_counts)
    features, counts = replace(features, pieces=pieces), np.concatenate(all_counts)
    if max_features is None or max_features >= len(counts):
        return features
    kept = np.zeros(len(counts), bool)
    kept[np.argsort(-counts, kind="stable")[:max_features]] = True
    return features.select(kept)


def choose_pieces(words: WordTable, counts: np.ndarray, sizes: range, min_count: int) -> tuple[Pieces, np.ndarray]:
    """N-grams of so many characters, at least ``min_count`` times in all words together, which occur so often, (w,):
    the most frequent first (on ties, the earlier one), and how often they occur, (m,) int64.
    """
    pieces = Pieces(WordTable(), sizes)
    ids, offsets = pieces.of_words(words, new=True)
    weights = np.repeat(counts, np.diff(offsets))
    totals = np.bincount(ids, weights, len(pieces.table)).astype(np.int64)  # float64 is exact for these
    order = np.argsort(-totals, kind="stable")[: np.count_nonzero(totals >= min_count)]
    return pieces._replace(table=pieces.table.select(order)), totals[order]


def extend(known: Features | None, new: Features) -> Features:
    """Features of both, those of ``known`` first among the words and first among the n-grams, in their order."""
    if known is None:
        return new
    words = known.words.select(np.arange(len(known.words)))
    of_new = words.add_spans(new.words.spans())
    moved = np.concatenate([np.arange(len(known.words)), len(words) + np.arange(len(known.ngrams))])
    ngrams = translated(known.ngrams, moved)
    translation = np.concatenate([of_new, np.zeros(len(new.ngrams), np.int64)])
    level = new.words_in()[: new.first_piece]
    for size in range(2, new.depth + 1):  # level by level: the number of an n-gram needs that of its beginning
        at = np.flatnonzero(level == size)
        keys = translated(new.ngrams[at - len(new.words)], translation)
        missing = find_pairs(keys, len(words), ngrams, slots_of(ngrams)) == UNKNOWN
        ngrams = np.concatenate([ngrams, keys[missing]])
        translation[at] = find_pairs(keys, len(words), ngrams, slots_of(ngrams))
    pieces = known.pieces.table.select(np.arange(len(known.pieces.table)))
    pieces.add_spans(new.pieces.table.spans())
    return Features(words, ngrams, max(known.largest, new.largest), new.binary, Pieces(pieces, new.pieces.sizes))


def translated(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The keys with the new number of each feature; BEGIN stays."""
    return np.asarray(np.append(numbers, BEGIN)[keys >> 32] << 32 | numbers[keys & 0xFFFFFFFF])


def frequent_pairs(
    tokens: Tokens, keys_of: Callable[[tuple[int, Tokens]], np.ndarray], min_count: int, threads: int = 1
) -> Counted:
    """Keys of the pairs that occur at least ``min_count`` times, the most frequent first (on ties, the earlier one),
    and their counts: (m,) and (m,) int64.

    The keys are dealt out to buckets by their hash, and each bucket is counted on its own, in a table that fits into
    the cache. Where there are very many tokens, each turn takes a share of the buckets only, so that memory is needed
    for these and for the pairs that are kept.

    ``keys_of``: the keys of a part of the tokens, UNKNOWN where a token has no pair: (t,) int64.
    """
    turns = 1 << max(0, (len(tokens.ids) - 1) // KEYS_AT_A_TIME).bit_length()
    buckets = 1 << (len(tokens.ids) // turns // KEYS_IN_BUCKET).bit_length()
    kept: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64),) * 3]

    def deal(turn: int, part: tuple[int, Tokens]) -> tuple[Any, ...]:
        return *deal_keys(keys_of(part), turn, turns, buckets), tokens.offsets[part[0]]

    def count(dealt: list[tuple[Any, ...]], bucket: int) -> tuple[np.ndarray, ...]:
        parts = [(keys, places, first, slice(*bounds[bucket : bucket + 2])) for keys, places, bounds, first in dealt]
        keys = np.concatenate([keys[at] for keys, _, _, at in parts])
        found = count_pairs(keys, np.concatenate([first + places[at] for _, places, first, at in parts]))
        return tuple(array[found[1] >= min_count] for array in found)

    for turn in range(turns):
        dealt = list(in_order(partial(deal, turn), tokens.parts(TOKENS), threads))
        kept.extend(in_order(partial(count, dealt), range(buckets if dealt else 0), threads))
    return by_frequency(kept)


def by_frequency(found: Iterable[tuple[np.ndarray, ...]]) -> Counted:
    """Keys and their counts, the most frequent ones first, from parts of keys, counts, and places of the first ones."""
    keys, counts, firsts = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((firsts, -counts))
    return keys[order], counts[order]


@kernel
def pair_up(ids, words, ends, begins):
    """Key of each token's pair: what ends at the token before, and the token's word; UNKNOWN where either is.

    ``begins``: the first token of a text has BEGIN before it, else nothing.

    Shapes: ids (t,) of features that end at each token, words of n texts, ends (n,) of their tokens with a key
    -> (t,) int64.
    """
    keys = np.full(ids.shape[0], UNKNOWN, np.int64)
    word_ids, offsets = words
    for text in range(offsets.shape[0] - 1):
        before, known = BEGIN, begins
        for t in range(offsets[text], ends[text]):
            if known and word_ids[t] != UNKNOWN:
                keys[t] = np.int64(before) << 32 | np.int64(word_ids[t])
            before, known = ids[t], ids[t] != UNKNOWN
    return keys


@kernel
def find_pairs(keys, first, known, slots):
    """Number each pair, UNKNOWN where it is not known: (t,) int32.

    Shapes: keys (t,), known (pairs,) the keys in the table, whose numbers begin at ``first``, slots of ``slots_of``.
    """
    ids = np.full(keys.shape[0], UNKNOWN, np.int32)
    for t in range(keys.shape[0]):
        if keys[t] != UNKNOWN:
            pair = slots[find_slot(keys[t], known, slots)]
            if pair != UNKNOWN:
                ids[t] = first + pair
    return ids


@inline_kernel
def bucket_of(key, turn, turns, buckets):
    """Bucket of a key in this turn, or UNKNOWN, by other bits than those of its slot; the product is below 2 ** 63."""
    bucket = ((mix_bits(key) & 0xFFFFFFFF) * 0x1E3779B1 >> 24 & (turns * buckets - 1)) - turn * buckets
    return bucket if key != UNKNOWN and 0 <= bucket < buckets else UNKNOWN


@kernel
def deal_keys(keys, turn, turns, buckets):
    """Keys (t,) of a turn, bucket by bucket: (m,) int64, their places, (m,) int32, and the buckets' bounds in both."""
    bounds = np.zeros(buckets + 2, np.int64)
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, buckets)
        if bucket != UNKNOWN:
            bounds[bucket + 2] += 1
    for b in range(buckets):
        bounds[b + 2] += bounds[b + 1]
    dealt, places = np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int32)
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, buckets)
        if bucket != UNKNOWN:  # bounds[bucket + 1] is where it begins, and at last where it ends
            dealt[bounds[bucket + 1]], places[bounds[bucket + 1]] = keys[t], t
            bounds[bucket + 1] += 1
    return dealt, places, bounds[:-1]


@kernel
def count_pairs(keys, places):
    """Distinct keys of keys (t,) in the order of their first occurrence, their counts, and the places of the firsts."""
    distinct, counts, firsts = np.empty_like(keys), np.empty_like(keys), np.empty_like(keys)
    slots, found = free_slots(keys.shape[0]), 0
    for t in range(keys.shape[0]):
        slot = find_slot(keys[t], distinct, slots)
        if slots[slot] == UNKNOWN:
            slots[slot], distinct[found], firsts[found], counts[found] = found, keys[t], places[t], 0
            found += 1
        counts[slots[slot]] += 1
    return distinct[:found], counts[:found], firsts[:found]
