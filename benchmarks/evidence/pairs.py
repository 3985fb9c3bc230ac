"""The pairs of `make evidence`: what each consists of stands in its name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

SPLITS = ("choose", "report")
MOTIONS = re.compile(r"none|rigid\d+|spline\d+|both\d+")
_SALT = 377  # halves every kind nearly evenly; chosen before anything was measured
VARIANTS = ("", "noise", "bias", "coarse", "part")


@dataclass(frozen=True)
class Pair:
    """Two images, what one of them is moved by, and what else is done to them.

    Args:
        kind: What sort of pair it is; ratios are averaged within one.
        fixed: Name of the fixed image, see `scenes.py`.
        moving: Name of the image that is moved; it lies on the fixed one by a known transform, or
            landmarks or labels say where.
        motion: The transform applied: none, rigid<degrees>, spline<mm>, or both<mm>; see
            `motions.py`.
        variant: Nothing, or one of VARIANTS: noise in both; a bias field in the moving image; the
            moving image at a coarser resolution; a part of the fixed image.
    """

    kind: str
    fixed: str
    moving: str
    motion: str
    variant: str = ""

    @classmethod
    def named(cls, name: str) -> Pair:
        """Read `kind/fixed-moving-motion[-variant]`.

        Raises:
            ValueError: It is not the name of a pair.
        """
        kind, _, rest = name.partition("/")
        words = rest.split("-")
        if len(words) not in (3, 4) or not MOTIONS.fullmatch(words[2]) or words[3:] == [""]:
            message = f"{name!r} is no pair, expected kind/fixed-moving-motion[-variant]"
            raise ValueError(message)
        if len(words) == 4 and words[3] not in VARIANTS:
            message = (
                f"{name!r}: the variant is {words[3]!r}, expected one of {', '.join(VARIANTS[1:])}"
            )
            raise ValueError(message)
        return cls(kind, *words)

    @property
    def name(self) -> str:
        """`kind/fixed-moving-motion[-variant]`."""
        words = (self.fixed, self.moving, self.motion, *([self.variant] if self.variant else []))
        return f"{self.kind}/{'-'.join(words)}"

    @property
    def dimension(self) -> int:
        """Of both images."""
        return 2 if self.kind in FLAT else 3

    @property
    def split(self) -> str:
        """Whether presets may be chosen on it, or results are reported: fixed by its name."""
        return SPLITS[hashlib.sha256(f"{_SALT} {self.name}".encode()).digest()[0] % 2]


FLAT = ("histology", "slices")
KINDS = {
    "mr": "one head, two contrasts",
    "mr_one": "one head, one contrast",
    "native": "one whole head as scanned: thick oblique slices, two contrasts",
    "heads": "two people, T1",
    "lung": "one lung, breathed in and out, CT",
    "histology": "neighbouring slices, two stains, 2D",
    "slices": "T1 and proton density of one head, 2D",
    "identity": "nothing to find: the identity is the truth",
}

PAIRS = tuple(
    Pair.named(f"{kind}/{rest}")
    for kind, names in {
        "mr": """
            p07T1-p07T2-both40 p07T1-p07FLAIR-both40 p19T2-p19FLAIR-both40 p19T1-p19T2-both20
            p07FLAIR-p07T1-both80 p19T1-p19FLAIR-rigid30 p07T2-p07T1-rigid5 p19FLAIR-p19T2-rigid15
            p07T2-p07FLAIR-spline20 p19FLAIR-p19T1-spline40 p19T2-p19T1-spline80
            p07T1-p07T2-both40-noise p19T1-p19FLAIR-both40-bias p07T2-p07FLAIR-both40-coarse
            p19T1-p19T2-both40-part p07FLAIR-p07T1-rigid15-part
        """,
        "mr_one": """
            p07T1-p07T1-both40-noise p19T1-p19T1-both20-bias p07T2-p07T2-spline80-noise
            p19FLAIR-p19FLAIR-both40-coarse p07FLAIR-p07FLAIR-rigid30-bias p19T2-p19T2-both40-part
        """,
        "native": """
            FLAIR-T1W-none FLAIR-T2W-none FLAIR-T1W-rigid15 FLAIR-T2W-both40 FLAIR-T1W-both80
            FLAIR-T2W-rigid30
        """,
        "heads": """
            ecog-seeg-none seeg-ecog-none ecog-seeg-rigid15 seeg-ecog-rigid30 ecog-seeg-none-noise
            seeg-ecog-rigid5-coarse
        """,
        "lung": """
            baseline-followup-none followup-baseline-none baseline-followup-spline40
            followup-baseline-rigid5 baseline-followup-none-noise followup-baseline-spline80
        """,
        "histology": """
            HE-proSPC-none proSPC-HE-none HE-proSPC-rigid15 proSPC-HE-rigid30 HE-proSPC-both80
            proSPC-HE-spline40
        """,
        "slices": """
            T1-PD-none T1-PD-rigid15 T1-PD-spline20 T1-PD-both40 T1-PD-both20-noise
            T1-PD-both80-bias
        """,
        "identity": """
            p07T1-p07T2-none p19T1-p19FLAIR-none p07T2-p07FLAIR-none-noise p19T2-p19T1-none-bias
            p07T1-p07T1-none-noise
        """,
    }.items()
    for rest in names.split()
)


def chosen(pairs: tuple[Pair, ...], pattern: str | None, split: str | None) -> tuple[Pair, ...]:
    """Give the pairs whose names match somewhere, of one half or of both."""
    return tuple(
        pair
        for pair in pairs
        if (pattern is None or re.search(pattern, pair.name)) and split in (None, pair.split)
    )
