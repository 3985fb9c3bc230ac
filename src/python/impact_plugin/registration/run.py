"""One run of elastix for a registration: its files, its end, and what it left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from impact_plugin import _io
from impact_plugin.check import ImageHeader, before_run
from impact_plugin.elastix import process
from impact_plugin.elastix.errors import RegistrationError, find_cause
from impact_plugin.parameters import map_files
from impact_plugin.registration import outputs
from impact_plugin.registration.follower import EndNow, Follower
from impact_plugin.registration.stages import Stage
from impact_plugin.transforms.chain import Chain


class Run:
    """One elastix process and its files.

    Args:
        chosen: The stages.
        before: The initial transform.
        folder: elastix's output folder.
        stop_file: What ends a registration early.
        images: The fixed and the moving image.
    """

    def __init__(
        self,
        chosen: Sequence[Stage],
        before: Chain,
        folder: Path,
        stop_file: Path,
        images: tuple[ImageHeader, ImageHeader],
    ) -> None:
        self._stages = chosen
        self._before = before
        self._folder = folder
        self._images = images
        self.stop_file = stop_file

    def execute(self, arguments: Sequence[str | Path], follower: Follower) -> Chain:
        """Run elastix and give the whole transform.

        Raises:
            RegistrationError: elastix failed.
        """
        command = [*arguments, "-out", self._folder]
        if first := self._before.write(self._folder, "InitialTransform"):
            command += ["-t0", first]
        for number, stage in enumerate(self._stages):
            path = self._folder / f"Parameters.{number}.txt"
            _io.write_text(path, map_files.dump(outputs.for_elastix(stage.parameters)))
            command += ["-p", path]
        described = self.stop_file.with_name("checked_images.json")
        before_run.describe(described, [stage.name for stage in self._stages], *self._images)
        environment = {"IMPACT_STOP_FILE": str(self.stop_file), before_run.VARIABLE: str(described)}
        try:
            code = process.run(
                "elastix", command, follower, environment, module="impact_plugin.registration.child"
            )
        except EndNow:
            return self._stopped(follower)
        if code != 0:
            raise self._error(follower, code)
        try:
            chain = Chain.read(self.last_transform)
        except (OSError, ValueError) as error:
            self.last_transform.unlink(missing_ok=True)  # not to be taken for a whole one
            cause = (
                "elastix ended as if all were well, but its transform cannot be read: "
                f"{error} Is the disk full?"
            )
            raise self._error(follower, code, cause) from error
        if _numbers(chain)[: len(self._before.maps)] != _numbers(self._before):
            self.last_transform.unlink(missing_ok=True)
            cause = (
                "elastix went on without the initial transform, or without a part of it: its log "
                "says why"
            )
            raise self._error(follower, code, cause)
        return chain

    @property
    def last_transform(self) -> Path:
        """The file of the whole transform, where the registration was not stopped early."""
        return self._folder / f"TransformParameters.{len(self._stages) - 1}.txt"

    def write_outputs(self, dimension: int) -> None:
        """Write what the maps ask for besides elastix's own files, into its output folder.

        Raises:
            OSError: A file cannot be written.
        """
        outputs.write(self._folder, [stage.parameters for stage in self._stages], dimension)

    def log(self, follower: Follower) -> str:
        """Give elastix's log in full."""
        try:
            return (self._folder / "elastix.log").read_text(encoding="utf-8", errors="replace")
        except OSError:  # the last lines are better than none
            return "\n".join([*follower.lines, ""])

    def _stopped(self, follower: Follower) -> Chain:
        """Give the transform of what was ended early: of the last level that ended."""
        log = follower.log
        if log.finished > log.stage:
            return Chain.read(self._folder / f"TransformParameters.{log.stage}.txt")
        level = log.level or 0
        if level > 0:
            return Chain.read(self._folder / f"TransformParameters.{log.stage}.R{level - 1}.txt")
        if log.stage > 0:
            return Chain.read(self._folder / f"TransformParameters.{log.stage - 1}.txt")
        return self._before

    def _error(self, follower: Follower, code: int, cause: str = "") -> RegistrationError:
        log = follower.log
        refused = [line for line in follower.lines if line.startswith(before_run.REFUSED)]
        number = int(refused[0].removeprefix(before_run.REFUSED)) if refused else log.stage
        stage = self._stages[number]
        where = f"stage {number + 1} of {len(self._stages)} ({stage.name})"
        if log.level is not None:
            levels = stage.parameters.get("NumberOfResolutions", ["3"])[0]
            where += f", level {log.level + 1} of {levels}"
        if not cause:
            killed = f"elastix {process.describe_exit(code)}"
            cause = killed if code < 0 else find_cause(list(follower.lines))
        kept = self._keep_log(follower, began=not refused)
        return RegistrationError(cause, where, number, log.level, kept)

    def _keep_log(self, follower: Follower, *, began: bool) -> Path:
        """Give the path of a log that outlives this call; one of an elastix that began is its own.

        What else lies in the folder is of an earlier registration.
        """
        path = self._folder / "elastix.log"
        if began and self._folder != self.stop_file.parent and path.is_file():
            return path
        handle, name = tempfile.mkstemp(prefix="impact-plugin-", suffix="-elastix.log")
        os.close(handle)
        if began and path.is_file():
            shutil.copyfile(path, name)
        else:
            Path(name).write_text("\n".join(follower.lines) + "\n", encoding="utf-8")
        return Path(name)


def _numbers(chain: Chain) -> list[tuple[list[str], list[str] | None]]:
    """Give the kind and the numbers of each transform."""
    return [(each["Transform"], each.get("TransformParameters")) for each in chain.maps]
