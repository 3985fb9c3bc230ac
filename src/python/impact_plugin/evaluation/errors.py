"""Why a registration cannot be measured."""

from __future__ import annotations

from impact_plugin._errors import InputError


class OutsideError(InputError):
    """Landmarks lie outside their image.

    Attributes:
        text: What is wrong, without the options that mend it.
        side: Image the landmarks belong to: "fixed" or "moving".
        number: Number of landmarks outside it.
    """

    def __init__(self, text: str, side: str, number: int) -> None:
        super().__init__(text, side, number)  # for pickle
        self.text = text
        self.side = side
        self.number = number

    def __str__(self) -> str:
        options = 'axes="RAS" reads positions in RAS, outside="leave out" leaves them out'
        return f"{self.text} {options}"
