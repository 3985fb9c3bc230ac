"""Why a registration cannot be measured."""

from __future__ import annotations

from impact_plugin._errors import InputError


class OutsideError(InputError):
    """Landmarks lie outside the image that they are said to be of.

    Attributes:
        text: What is wrong, without the option that leaves them out.
        side: Of which image they are: "fixed" or "moving".
        number: How many lie outside of it.
    """

    def __init__(self, text: str, side: str, number: int) -> None:
        super().__init__(text, side, number)  # for pickle
        self.text = text
        self.side = side
        self.number = number

    def __str__(self) -> str:
        return f'{self.text} outside="leave out" leaves them out'
