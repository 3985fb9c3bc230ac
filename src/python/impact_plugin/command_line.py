"""``impact-elastix`` and ``impact-transformix``: elastix's own programs, with the IMPACT metric.

They take elastix's own flags, write the same files and give the same exit codes, so a script that
calls ``elastix`` works with the name changed. They run elastix's own main functions out of the
installed itk-elastix, in a process that imports neither itk nor torch and so starts at once.

``python -m impact_plugin.command_line elastix ...`` (or ``transformix ...``) is the same program.

One flag is ours: ``impact-elastix -record FILE`` writes a record of the registration.

:func:`elastix_folder` makes a folder for programs that want an elastix of their own.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from impact_plugin import _kept
from impact_plugin.elastix import native
from impact_plugin.images import dicom, nifti_frames
from impact_plugin.images.integrity import DamagedImageError, check_complete

if TYPE_CHECKING:
    from impact_plugin.parameters.values import ParameterMap

_IMAGE = re.compile(r"-(f|m|fMask|mMask)\d*|-in")
_READ = ("-p", "-tp", "-t0", "-fp", "-mp", "-def", "-ipp")
# In elastix's own syntax or in TOML.
_LEVELS = re.compile(r"""(?m)^\s*\(?\s*NumberOfResolutions[\s=]+["']?0*(\d+)""")
_ENDING = re.compile(r"""(?m)^\s*\(?\s*ITKTransformOutputFileNameExtension[\s=\[]+["']([^"'\n]*)""")
_KIND = re.compile(r"""(?m)^\s*\(?\s*Transform[\s=\[]+["']([^"'\n]*)""")
MOST_LEVELS = 100
"""Beyond these, ``impact-plugin check`` takes a NumberOfResolutions for a slip, too."""


def elastix_main(arguments: Sequence[str] | None = None) -> int:
    """Run ``impact-elastix``.

    Args:
        arguments: The command line without the program's name; by default the one of this process.

    Returns:
        The exit code: elastix's own, or 1 where torch or itk-elastix does not fit, the package is
        not built, or a record was wanted and cannot be made.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    record = None
    if native.RECORD in given[:-1]:
        place = given.index(native.RECORD)
        record = given[place + 1]
        del given[place : place + 2]
    if code := _check_images("elastix", given) or _check_maps(given):
        return code
    if code := _check_kept("elastix", given, record):
        return code
    _warn_of_directions(given)
    if record is None:
        return native.run("elastix", given)
    from impact_plugin.registration import elastix_runs  # imports much, seldom needed

    return elastix_runs.run(given, Path(record))


def transformix_main(arguments: Sequence[str] | None = None) -> int:
    """Run ``impact-transformix``; arguments and exit code as for :func:`elastix_main`."""
    given = sys.argv[1:] if arguments is None else arguments
    return (
        _check_images("transformix", given)
        or _check_kept("transformix", given)
        or native.run("transformix", given)
    )


def elastix_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder like an installation of elastix, for programs that want one of their own.

    Its ``bin/elastix`` and ``bin/transformix`` start ``impact-elastix`` and ``impact-transformix``
    of this Python from any folder, with LD_LIBRARY_PATH, PYTHONHOME and PYTHONPATH as they are now:
    programs with libraries of their own set others. Both are tried. A folder that was made before
    is made anew.

    Args:
        folder: A new folder, an empty one, or one that was made so before.

    Returns:
        Its absolute path.

    Raises:
        ValueError: It has other files, is a file, or cannot be written into.
        OSError: A program cannot be written, or does not start.
        VersionMismatchError: torch or itk-elastix does not fit.
    """
    from impact_plugin.elastix import installation

    return installation.write_installation(folder)


def _check_images(program: str, arguments: Sequence[str]) -> int:
    """Refuse, with exit code 1, image files of which a part is missing, and DICOM folders.

    elastix reads many of the first as whole, and of the second says what means nothing to users.
    Whatever else is wrong with images elastix says.
    """
    for flag, name in itertools.pairwise(arguments):
        if _IMAGE.fullmatch(flag):
            path = Path(name)
            if dicom.is_series(path):
                print(
                    f"impact-{program}: {flag} {name} is a folder, and elastix reads files. Take "
                    "`impact-plugin register`, which reads folders of DICOM series, or write the "
                    "series as one file first, with 3D Slicer, dcm2niix or SimpleITK",
                    file=sys.stderr,
                )
                return 1
            try:
                check_complete(path, f"{flag} {name}")
                if dicom.is_dicom(path):
                    dicom.check_as_it_is(path)
                if (frames := nifti_frames.Frames.read(path)) and (doubt := frames.doubt()):
                    print(f"impact-{program}: {flag} {name}: {doubt}", file=sys.stderr)
            except DamagedImageError as error:
                print(f"impact-{program}: {error}", file=sys.stderr)
                return 1
            except (OSError, RuntimeError):
                pass
            except ValueError as error:
                print(f"impact-{program}: {flag} {name}: {error}", file=sys.stderr)
                return 1
    return 0


def _check_kept(program: str, arguments: Sequence[str], record: str | None = None) -> int:
    """Refuse to write over what is read, with exit code 1."""
    flags = list(itertools.pairwise(arguments))
    out = next((Path(value) for flag, value in flags if flag == "-out"), None)
    inputs = [each for each in flags if each[0] in _READ or _IMAGE.fullmatch(each[0])]
    for flag, value in flags:
        if flag in ("-t0", "-tp"):
            inputs += [(f"{flag} {value}", str(path)) for path in _links(value)]
    written = _written_by_elastix if program == "elastix" else _written_by_transformix
    targets = [] if out is None else list(_kept.matching(out, written(flags)))
    targets += [Path(record)] if record else []
    try:
        _kept.check(targets, inputs)
    except _kept.OverwrittenInputError as error:
        print(f"impact-{program}: {error}", file=sys.stderr)
        return 1
    return 0


def _written_by_elastix(flags: Sequence[tuple[str, str]]) -> Iterator[str]:
    maps = [_parameters(value) for flag, value in flags if flag == "-p"]
    return _kept.of_elastix([each.get("ResultImageName", ["result"])[0] for each in maps])


def _written_by_transformix(flags: Sequence[tuple[str, str]]) -> Iterator[str]:
    given = dict(flags)
    last = _parameters(given.get("-tp", ""))
    formats = [last.get("ResultImageFormat", ["mhd"])[0]]
    formats += ["raw", "zraw"] if formats == ["mhd"] else []
    yield "transformix.log"
    if "-def" in given or "-ipp" in given:
        yield from ("outputpoints.txt", "outputpoints.vtk")
    for flag, name in (
        ("-in", last.get("ResultImageName", ["result"])[0]),
        ("-def", "deformationField"),
        ("-jac", "spatialJacobian"),
        ("-jacmat", "fullSpatialJacobian"),
    ):
        if flag in given:
            yield from (f"{glob.escape(name)}.{ending}" for ending in formats)


def _parameters(name: str) -> ParameterMap:
    """Read a parameter file; of one that cannot be read elastix says why."""
    from impact_plugin.parameters import map_files

    try:
        return map_files.read(name)
    except (OSError, ValueError):
        return {}


def _links(name: str) -> list[Path]:
    """Give the files that a transform parameter file builds on; elastix says what is wrong."""
    from impact_plugin.transforms import chain

    try:
        return chain.files_of(Path(name))
    except (OSError, ValueError):
        return [Path(name)]


def _warn_of_directions(arguments: Sequence[str]) -> None:
    """Say where transform files of this run will not be of the world."""
    flags = list(itertools.pairwise(arguments))
    maps = [_parameters(value) for flag, value in flags if flag == "-p"]
    if not any(each.get("UseDirectionCosines") == ["false"] for each in maps):
        return
    from impact_plugin.check.images import ImageError, ImageHeader

    for flag, value in flags:
        if flag in ("-f", "-f0", "-m", "-m0"):
            with suppress(ImageError, OSError, ValueError):
                if not ImageHeader.read(value, colours=False).is_upright:
                    print(
                        'impact-elastix: WARNING: (UseDirectionCosines "false"), and the axes of '
                        f"{flag} {value} are not x, y and z: the transform files will hold for "
                        "images without direction cosines, and points in mm come out wrong. Give "
                        '(UseDirectionCosines "true").',
                        file=sys.stderr,
                    )
                    return


def _check_maps(arguments: Sequence[str]) -> int:
    """Refuse parameter files with which elastix fails without a reason, or late; exit code 1.

    Of more levels than there can be it makes lists before it asks any metric: its end is a bare
    "bad_alloc". A transform in a file that ITK does not write is lost, after the whole run.
    """
    for flag, name in itertools.pairwise(arguments):
        if flag != "-p":
            continue
        try:
            text = Path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # elastix says so
        if problem := _problem(text):
            print(f"impact-elastix: {name}: {problem}.", file=sys.stderr)
            return 1
    return 0


def _problem(text: str) -> str:
    for number in _LEVELS.findall(text):
        if len(number) > 3 or int(number) > MOST_LEVELS:
            return (
                f'NumberOfResolutions: "{number}" is not allowed. '
                f"Allowed: whole numbers from 1 to {MOST_LEVELS}"
            )
    for ending in _ENDING.findall(text):
        from impact_plugin.transforms.file_transforms import FORMATS, is_format
        from impact_plugin.transforms.from_elastix import KINDS  # seldom needed

        if ending and not is_format(ending):
            known = ", ".join(f'"{each}"' for each in FORMATS)
            return (
                f'ITKTransformOutputFileNameExtension: "{ending}" is not allowed. Allowed: {known}'
            )
        for kind in _KIND.findall(text) if ending else ():
            if kind not in KINDS:
                return (
                    f'ITKTransformOutputFileNameExtension: "{ending}" is not allowed, because ITK '
                    f"has no transform like elastix's {kind}. Leave it out"
                )
    return ""


def _main() -> int:
    programs = {"elastix": elastix_main, "transformix": transformix_main}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in programs:
        print(
            "Expected elastix or transformix after the module's name, and got "
            f"{name or 'nothing'!r}: python -m impact_plugin.command_line elastix --help",
            file=sys.stderr,
        )
        return 2
    return programs[name](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_main())
