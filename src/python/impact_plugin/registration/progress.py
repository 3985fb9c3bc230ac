"""A bar for each resolution level, in a terminal or a notebook."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from impact_plugin.elastix.log import Iteration
from impact_plugin.parameters.values import ParameterMap, as_integer


class Bars:
    """Shows how far a registration is.

    Args:
        stages: Names of the stages.
        maps: Their parameter maps, which tell how many levels and iterations there will be.
        shown: Whether to show anything; None: in a terminal and in a notebook.
    """

    def __init__(
        self, stages: Sequence[str], maps: Sequence[ParameterMap], shown: bool | None
    ) -> None:
        self._stages = stages
        self._maps = maps
        self._shown = _is_watched() if shown is None else shown
        self._bar: Any = None
        self._of: tuple[int, int] | None = None

    def show(self, iteration: Iteration) -> None:
        """Count an iteration."""
        if not self._shown:
            return
        if (iteration.stage, iteration.level) != self._of:
            self.close()
            self._bar = self._make(iteration)
            self._of = (iteration.stage, iteration.level)
        self._bar.set_postfix_str(f"metric {iteration.metric:.6g}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """End the last bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _make(self, iteration: Iteration) -> Any:  # noqa: ANN401  (one of tqdm's classes)
        with warnings.catch_warnings():
            # In a notebook without ipywidgets, which shows the bars as text.
            warnings.filterwarnings("ignore", "IProgress not found")
            from tqdm.auto import tqdm

        parameters = self._maps[iteration.stage]
        levels = as_integer(parameters.get("NumberOfResolutions", ["3"])[0])
        iterations = parameters.get("MaximumNumberOfIterations", ["500"])
        total = as_integer(iterations[min(iteration.level, len(iterations) - 1)])
        name = self._stages[iteration.stage]
        return tqdm(
            total=total, desc=f"{name}, level {iteration.level + 1} of {levels}", unit=" iterations"
        )


def _is_watched() -> bool:
    """Tell whether somebody sees standard error: a terminal, or a notebook."""
    if "ipykernel" in sys.modules:
        return True
    stream = sys.stderr
    return stream is not None and stream.isatty()
