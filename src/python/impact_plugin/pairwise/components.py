"""The names that elastix has for metrics, transforms and interpolators of the result."""

from __future__ import annotations

import difflib

from impact_plugin.parameters.values import ParameterMap

# Of elastix 5.3.1: elxClassNameMacro in Components/, without what itk-elastix leaves out.
_KNOWN = {
    "Metric": (
        "AdvancedKappaStatistic",
        "AdvancedMattesMutualInformation",
        "AdvancedMeanSquares",
        "AdvancedNormalizedCorrelation",
        "CorrespondingPointsEuclideanDistanceMetric",
        "DisplacementMagnitudePenalty",
        "DistancePreservingRigidityPenalty",
        "GradientDifference",
        "Impact",
        "MissingStructurePenalty",
        "NormalizedGradientCorrelation",
        "NormalizedMutualInformation",
        "PCAMetric",
        "PCAMetric2",
        "PatternIntensity",
        "PolydataDummyPenalty",
        "StatisticalShapePenalty",
        "SumOfPairwiseCorrelationCoefficientsMetric",
        "SumSquaredTissueVolumeDifference",
        "TransformBendingEnergyPenalty",
        "TransformRigidityPenalty",
        "VarianceOverLastDimensionMetric",
    ),
    "Transform": (
        "AffineDTITransform",
        "AffineLogStackTransform",
        "AffineLogTransform",
        "AffineTransform",
        "BSplineStackTransform",
        "BSplineTransform",
        "BSplineTransformWithDiffusion",
        "DeformationFieldTransform",
        "EulerStackTransform",
        "EulerTransform",
        "ExternalTransform",
        "MultiBSplineTransformWithNormal",
        "RecursiveBSplineTransform",
        "SimilarityTransform",
        "SplineKernelTransform",
        "TranslationStackTransform",
        "TranslationTransform",
        "WeightedCombinationTransform",
    ),
    "ResampleInterpolator": (
        "FinalBSplineInterpolator",
        "FinalBSplineInterpolatorFloat",
        "FinalLinearInterpolator",
        "FinalNearestNeighborInterpolator",
        "FinalRayCastInterpolator",
        "FinalReducedDimensionBSplineInterpolator",
    ),
}


def check_names(parameters: ParameterMap, where: str) -> None:
    """Check the names of a map's metrics, transform and interpolator of the result.

    Args:
        parameters: The map.
        where: What messages call it.

    Raises:
        ValueError: elastix has none of that name. The message has the nearest names.
    """
    for parameter, known in _KNOWN.items():
        for name in parameters.get(parameter, []):
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            guess = f"the nearest are {', '.join(near)}" if near else f"it has {', '.join(known)}"
            message = f'{where} has ({parameter} "{name}"), which elastix does not have; {guess}'
            raise ValueError(message)
