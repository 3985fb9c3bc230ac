"""Why a registration cannot be measured."""

from __future__ import annotations

from impact_plugin._errors import InputError


class OutsideError(InputError):
    """Landmarks lie outside the image that they are said to be of.

    Attributes:
        text: What is wrong, without the options that mend it.
        side: Of which image they are: "fixed" or "moving".
        number: How many lie outside of it.
    """

    def __init__(self, text: str, side: str, number: int) -> None:
        super().__init__(text, side, number)  # for pickle
        self.text = text
        self.side = side
        self.number = number

    def __str__(self) -> str:
        options = 'axes="RAS" reads positions in RAS, outside="leave out" leaves them out'
        return f"{self.text} {options}"
