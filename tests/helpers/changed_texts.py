"""Texts changed at random, to find what a reader does not expect."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_PIECES = ("(", ")", '"', "//", " ", "\t", "\n", "\r", "\0", "\x85", "é", "*", "-1", "1e999", "nan")


def changed_texts(seeds: Sequence[str], seed: int) -> Iterator[str]:
    """Give ever more texts, each made of one of the seeds by a few changes."""
    source = random.Random(seed)
    while True:
        text = source.choice(seeds)
        for _ in range(source.randint(1, 5)):
            place = source.randint(0, len(text))
            length = source.randint(0, 20)
            kind = source.randrange(5)
            if kind == 0:
                text = text[:place] + text[place + length :]
            elif kind == 1:
                text = text[:place] + source.choice(_PIECES) + text[place:]
            elif kind == 2:
                text = text[:place] + text[place : place + length] + text[place:]
            elif kind == 3:
                other = source.choice(seeds)
                begin = source.randint(0, len(other))
                text = text[:place] + other[begin : begin + 60] + text[place:]
            else:
                text = text[:place] + chr(source.randrange(0x250)) + text[place + 1 :]
        yield text
