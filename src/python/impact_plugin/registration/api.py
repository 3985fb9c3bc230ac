"""``impact_plugin.register_images``."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import structs

from impact_plugin import _arguments, _devices, _kept, _versions
from impact_plugin._arguments import Iterations
from impact_plugin._errors import InputError
from impact_plugin._io import expanded, temporary_folder
from impact_plugin._numbers import plain_arguments
from impact_plugin.elastix import signals
from impact_plugin.elastix.history import History
from impact_plugin.folders import record_file
from impact_plugin.folders.record import BegunRecord
from impact_plugin.folders.result_folder import transform_in
from impact_plugin.images import colour, conversion, validation
from impact_plugin.images.colour import Channel
from impact_plugin.images.conversion import ImageLike
from impact_plugin.images.grid import Geometry
from impact_plugin.parameters.values import ParameterMap
from impact_plugin.registration import fitting, made_from, masks, overlap, presets, stages, storage
from impact_plugin.registration.fitting import Fit
from impact_plugin.registration.follower import LOGGER, Callback, Follower
from impact_plugin.registration.inputs import Inputs
from impact_plugin.registration.progress import Bars
from impact_plugin.registration.records import making
from impact_plugin.registration.result import RegistrationResult
from impact_plugin.registration.run import Run
from impact_plugin.registration.stages import Models, ParameterMaps, Stage
from impact_plugin.registration.stopwatch import Stopwatch
from impact_plugin.transforms import directions, initial
from impact_plugin.transforms.chain import Chain
from impact_plugin.transforms.directions import Ignored
from impact_plugin.transforms.initial import InitialTransform
from impact_plugin.transforms.resampling import Resampling, least

if TYPE_CHECKING:
    import SimpleITK as sitk

Recording: TypeAlias = bool | Literal["inputs"] | Callable[[BegunRecord], None]
"""Whether and how a record is made, see ``record`` of :func:`register_images`."""


@plain_arguments
def register_images(
    fixed: ImageLike,
    moving: ImageLike,
    *,
    preset: str | Sequence[str] | None = None,
    parameter_maps: ParameterMaps = None,
    fixed_mask: ImageLike | None = None,
    moving_mask: ImageLike | None = None,
    initial_transform: InitialTransform = None,
    models: Models | None = None,
    iterations: Iterations | None = None,
    threads: int | None = None,
    device: str | None = None,
    seed: int | None = None,
    default_pixel_value: float | None = None,
    channel: Channel | None = None,
    output_directory: str | os.PathLike[str] | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
    record: Recording = True,
) -> RegistrationResult:
    """Register two images: find where each point of the fixed image is in the moving image.

    elastix runs in a process of its own. Any thread or process may call this, several at once;
    Ctrl-C ends the registration at once, and so does SIGTERM where nothing handles it (in the main
    thread: as SystemExit(143), which leaves no temporary files). What elastix says goes, line by
    line, to the logger ``impact_plugin.elastix``.

    Args:
        fixed: The image that stays as it is: a path, an image of SimpleITK, itk, nibabel, MONAI or
            TorchIO, or an :class:`impact_plugin.ImageArray`. 2D or 3D, grey or in colours: see
            ``channel``.
        moving: The image that is to be aligned with it.
        preset: Name of a parameter map of the package (:func:`impact_plugin.preset_names`), or
            several, which run one after the other, such as ``["rigid_mind", "mind"]``. Where
            neither this nor ``parameter_maps`` is given: ``["affine_mi", "mind_mi"]``. Its lengths
            are fitted to the images, and said to the logger ``impact_plugin.presets``.
        parameter_maps: elastix's parameter maps in place of a preset: a dict, a parameter file, an
            ``itk.ParameterObject``, or a list of them.
        fixed_mask: Where in the fixed image to look: not 0, on the fixed image's grid.
        moving_mask: Where in the moving image to look: not 0, on the moving image's grid.
        initial_transform: Where to start, from fixed to moving: ``"search"`` (the rigid transform
            that :func:`find_start` finds, from anywhere), ``"search-affine"``,
            ``"search-deformable"``, ``"center"`` (middle on middle), ``"mass"`` (centre of mass on
            centre of mass), ``"none"`` (as the images lie), a transform of SimpleITK or itk, a
            transform file of elastix or ITK, another result, or a folder with one, or that elastix
            wrote. The result's transform contains it.
            By default ``"search"`` with the default presets, and ``"none"`` with others and with
            maps.
        models: Where model files lie: a folder, or a dict of paths by the names in the map. MIND
            models are made.
        iterations: Iterations in place of the maps': one number for every level, or a list with one
            number for each, from coarse to fine. Of several stages the list has the levels of all,
            stage after stage: the default, of 3 and 2 levels, takes ``[200, 200, 100, 300, 500]``.
        threads: Threads of elastix and the networks; all processors by default.
        device: Where the networks run: ``"cpu"``, ``"cuda:0"``; by default as the maps say, and
            the presets say the CPU.
        seed: Same seed, same result; 0 to 2**32 - 1; by default as the maps say.
        default_pixel_value: Value outside the moving image in ``result.image``, of its pixel type;
            by default as own maps say (DefaultPixelValue), and the least of the moving image with a
            preset.
        channel: What stands for a colour image (histology, photographs: PNG, TIFF, JPEG, images of
            SimpleITK and itk with 3 or 4 channels): ``"red"``, ``"green"``, ``"blue"``, the number
            of a channel, from 0, or ``"luminance"``, 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709),
            in single precision. By default the luminance, with a warning. Grey images stay as they
            are. An :class:`impact_plugin.ImageArray` is always grey.
        output_directory: Where to save the result, as :meth:`RegistrationResult.save` does, beside
            elastix's own files: its log, its parameter files and what these ask it to write; by
            default nowhere. Made if needed. Not where an input lies under a name of these files.
        callback: Called after each iteration with an :class:`impact_plugin.Iteration`. If it
            returns True or raises :class:`impact_plugin.StopRegistration`, the registration ends,
            and the result is what it had by then (with maps without IMPACT: after the last level
            that ended).
        progress: Whether to show bars; by default in a terminal and in a notebook.
        record: Whether the result has a record of all that it came from, which is saved with it as
            ``record.json`` and can be run again (:func:`impact_plugin.rerun`). ``"inputs"``: and
            images that are no files are kept beside it, in ``output_directory``. A function: it is
            called before elastix starts, with the record as far as it is known by then, and what it
            raises ends the registration.

    Returns:
        The transform, the warped image and the course of the registration. The image is a SimpleITK
        image of the moving image's pixel type, interpolated as the last map says
        (ResampleInterpolator, FinalBSplineInterpolationOrder); ``result.warp(moving)`` gives the
        same in the kind of ``moving``.

    Raises:
        FileNotFoundError: A file is not there: image, map, model or transform.
        ValueError: Before elastix starts: images of different dimension, without overlap, empty,
            constant or with NaN; a mask on another grid, or empty; a preset, metric, transform or
            GPU that does not exist; a model that no map names; a folder that cannot be written
            into, or where an input would be overwritten; arguments that are out of range or exclude
            each other.
        TypeError: An argument is of a kind that is not known.
        RegistrationError: elastix failed. It has the cause, the stage and level, and the log.
        VersionMismatchError: The installed torch or itk-elastix does not fit.

    Warns:
        ColourWarning: An image has colours, and ``channel`` was not given.

    Example:
        >>> import impact_plugin
        >>> result = impact_plugin.register_images(
        ...     "ct.nii.gz", "mr.nii.gz", preset=["rigid_mind", "mind"]
        ... )  # doctest: +SKIP
        >>> result.map_points([[10.0, -20.0, 35.0]])  # doctest: +SKIP
    """
    watch = Stopwatch()
    _versions.check()
    _arguments.check_preset(preset)
    iterations = _arguments.checked_iterations(iterations)
    _arguments.check_integer("threads", threads, 1)
    _arguments.check_integer("seed", seed, 0, _arguments.LARGEST_SEED)
    _arguments.check_number("default_pixel_value", default_pixel_value)
    _arguments.check_flag("progress", progress)
    colour.check_channel(channel)
    _arguments.check_callback(callback)
    if device is not None:
        _devices.check_available(device)
    _arguments.check_record(record, output_directory)
    images = {
        "fixed": fixed,
        "moving": moving,
        "fixed_mask": fixed_mask,
        "moving_mask": moving_mask,
    }
    initial_transform = transform_in(initial_transform)
    out = (
        None
        if output_directory is None
        else expanded(output_directory, "output_directory").absolute()
    )
    if out is not None:
        patterns = [*_kept.OF_RESULTS, *(["inputs/*.mha"] if record == "inputs" else [])]
        read = made_from.files_read(images, initial_transform, parameter_maps, models)
        _kept.check(_kept.matching(out, patterns), read)
    by_default = presets.are_default(preset, parameter_maps)

    with (
        signals.cleaned_up(),
        temporary_folder() as files,
        initial.ahead(initial_transform, is_default=by_default) as ask,
    ):
        as_grey = functools.partial(colour.to_grey, channel=channel)
        watch.ended("checks")
        inputs = Inputs.of(fixed, moving, fixed_mask, moving_mask, as_grey)
        watch.ended("reading the images")
        is_least = default_pixel_value is None and parameter_maps is None
        if is_least:
            default_pixel_value = least(inputs.moving)
        changes = _changes(seed, default_pixel_value, callback)
        fit = Fit.of(Geometry.of(inputs.fixed), Geometry.of(inputs.moving))

        made = stages.make_stages(
            preset, parameter_maps, models, inputs.fixed.GetDimension(), files, fit
        )
        chosen = [
            stages.with_changes(stage, changes | own, device)
            for stage, own in zip(made, stages.iterations_of(made, iterations), strict=True)
        ]
        if parameter_maps is None:
            described = fit.described({stage.name: stage.parameters for stage in chosen})
            fitting.LOGGER.info("%s", described)
        for number, stage in enumerate(chosen):
            own = masks.changes(
                stage.parameters,
                inputs.fixed_mask,
                inputs.moving_mask,
                is_preset=parameter_maps is None,
            )
            chosen[number] = stages.with_changes(stage, own, None)
        resampling = resampling_of(chosen, inputs.moving, default_pixel_value)
        if is_least:
            resampling = replace(resampling, outside=None)
        watch.ended("checks")
        both_masks = inputs.fixed_mask, inputs.moving_mask
        means = initial.Means(both_masks, device or "cpu", threads, ask)
        if initial_transform is None and by_default:
            initial_transform, before = initial.by_default(inputs.fixed, inputs.moving, means)
        else:
            before = initial.make_chain(initial_transform, inputs.fixed, inputs.moving, means=means)
        watch.ended("initial transform")
        grids = Geometry.of(inputs.fixed), Geometry.of(inputs.moving)
        ignored = Ignored.of([stage.parameters for stage in chosen], *grids)
        given = before if ignored is None else ignored.for_elastix(before)
        placed = before if ignored is None or before.maps else ignored.start
        begun = None
        if record:
            said = {
                "iterations": iterations,
                "threads": threads,
                "device": device,
                "seed": seed,
                "default_pixel_value": default_pixel_value,
            }
            if inputs.coloured:
                said["channel"] = "luminance" if channel is None else channel
            begun = making.begin(inputs, images, initial_transform, before, chosen, said)
            if callable(record):
                record(begun)
            watch.ended("record")
        overlap.check(inputs, before, placed, chosen[0])
        if out is not None:
            _arguments.make_folder("output_directory", out)
            storage.clear(out)  # of an earlier registration
            if begun is not None and record == "inputs":
                watch.ended("checks")
                begun = structs.replace(begun, images=inputs.keep(out, begun.images))
                watch.ended("record")
        watch.ended("checks")
        command = [*inputs.arguments(files), *_threads(threads)]
        watch.ended("images for elastix")
        bars = Bars([s.name for s in chosen], [s.parameters for s in chosen], progress)
        if ignored is not None and not ignored.is_trivial:
            LOGGER.warning("%s. The result is in world coordinates all the same.", directions.WHAT)
        run = Run(chosen, given, out or files, files / "stop", inputs.headers())
        follower = Follower(
            bars,
            callback,
            run.stop_file,
            [s.has_impact for s in chosen],
            [s.schedules for s in chosen],
        )
        watch.ended("checks")
        try:
            chain = run.execute(command, follower)
        finally:
            bars.close()
        if ignored is not None:
            chain = ignored.in_world(Chain(chain.maps[len(given.maps) :]), placed)
        log = run.log(follower)
        watch.split(follower.times(), "the rest of elastix")

    result = RegistrationResult(
        image=inputs.moving,
        chain=chain,
        fixed=Geometry.of(inputs.fixed),
        history=History.of(row for level in follower.log.levels for row in level.iterations),
        timings={},
        stages=tuple(stage.name for stage in chosen),
        stopped=follower.stopped,
        output_directory=out,
        resampling=resampling,
        inputs=(fixed, moving),
        initial=len(placed.maps),
    )
    image = result.warp(inputs.moving, threads=threads)
    timings = watch.ended("warped image")
    result = replace(result, image=image, timings=timings, log=log)
    if begun is not None:
        finished = making.finish(begun, result, placed, follower.log.levels, log)
        result = storage.timed(replace(result, record=finished), watch.ended("record"))
    if out is not None:
        storage.save(result, out, watch)
        run.write_outputs(result.fixed.dimension)
        result = storage.timed(result, watch.seconds)
        if begun is not None:
            result = replace(result, record=record_file.read(out))  # with the names of the files
    return result


def _changes(
    seed: int | None,
    default_pixel_value: float | None,
    callback: Callback | None,
) -> ParameterMap:
    """Give the parameters whose values come from the arguments."""
    # The warped image is made here: in the moving image's pixel type, which casts without overflow.
    changes = {"WriteResultImage": ["false"]}
    if seed is not None:
        changes["RandomSeed"] = [str(seed)]
    if default_pixel_value is not None:
        changes["DefaultPixelValue"] = [repr(float(default_pixel_value))]
    if callback is not None:  # what is there when it ends early
        changes["WriteTransformParametersEachResolution"] = ["true"]
    return changes


def resampling_of(chosen: Sequence[Stage], moving: sitk.Image, given: float | None) -> Resampling:
    """Give how the moving image is to be resampled by the result: as the last stage says.

    Args:
        chosen: The stages, with the parameters that the arguments have changed.
        moving: The moving image.
        given: ``default_pixel_value``, for messages.

    Raises:
        ValueError: A map asks for what there is not, or the last one for a value outside that the
            moving image's pixel type cannot hold.
    """
    names = [f"the map {stage.name!r}" for stage in chosen]
    found = [Resampling.of(each.parameters, name) for each, name in zip(chosen, names, strict=True)]
    name = f"DefaultPixelValue of {names[-1]}" if given is None else "default_pixel_value"
    validation.check_fits(found[-1].value_outside(moving), moving, name)
    return found[-1]


def _threads(threads: int | None) -> list[str | Path]:
    return [] if threads is None else ["-threads", str(threads)]


def preset_names() -> dict[str, str]:
    """Give the names of the presets and what each is for."""
    return {name: preset.purpose for name, preset in presets.PRESETS.items()}


@plain_arguments
def preset_map(
    name: str,
    dimension: int | None = None,
    *,
    fixed: ImageLike | None = None,
    moving: ImageLike | None = None,
) -> ParameterMap:
    """Give the parameter map of a preset, to change it and pass it as ``parameter_maps``.

    Args:
        name: One of :func:`preset_names`.
        dimension: Dimension of the images, 2 or 3; by default that of ``fixed``, or 3.
        fixed: Fixed image: the map has the lengths that :func:`register_images` would take for it
            and ``moving``. Without, those of the file, which are for images of the size of a body.
        moving: Moving image; needed with ``fixed``.

    Raises:
        FileNotFoundError: There is no such image.
        ValueError: There is no such preset, or it is not for images of that dimension; one image is
            given without the other; they cannot be read or have another number of dimensions.
        TypeError: The name is no text, or an image is of a kind that is not known.
    """
    if not isinstance(name, str):
        message = f"name is {name!r}, expected the name of a preset: one of preset_names()"
        raise TypeError(message)
    if (fixed is None) != (moving is None):
        message = "only one image is given: give the fixed and the moving image, or neither"
        raise InputError(message)
    if fixed is None:
        return presets.load(name, 3 if dimension is None else dimension)
    grids = [
        Geometry.of(conversion.to_sitk(image, f"the {which} image"))
        for which, image in (("fixed", fixed), ("moving", moving))
    ]
    validation.check_pair(*grids)
    if dimension not in (None, grids[0].dimension):
        message = f"dimension is {dimension}, and the images have {grids[0].dimension}"
        raise InputError(message)
    return presets.load(name, grids[0].dimension, Fit.of(*grids))
