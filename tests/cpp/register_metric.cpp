#include "metric_evaluator.h"

namespace impact::bindings
{
namespace
{

using Numbers = std::vector<double>;

} // namespace

void
register_metric(py::module_ & module)
{
  py::class_<MetricEvaluator>(
    module, "MetricEvaluator", "The metric without the registration: value and derivative for transform parameters.")
    .def(py::init([](const Image &                fixed,
                     const Image &                moving,
                     const ParameterMap &         parameters,
                     const std::string &          transform,
                     int                          level,
                     const Numbers &              initialAffine,
                     double                       controlPointSpacing,
                     unsigned int                 sampleSpacing,
                     unsigned int                 interpolationOrder,
                     unsigned int                 threads,
                     const std::optional<Image> & movingMask,
                     bool                         asOnGpu,
                     const Numbers &              derivativeScales) {
           return makeMetricEvaluator(fixed,
                                      moving,
                                      { parameters,
                                        level,
                                        transform,
                                        initialAffine,
                                        controlPointSpacing,
                                        sampleSpacing,
                                        interpolationOrder,
                                        threads,
                                        movingMask,
                                        asOnGpu,
                                        derivativeScales });
         }),
         py::arg("fixed"),
         py::arg("moving"),
         py::arg("parameters"),
         py::arg("transform"),
         py::kw_only(),
         py::arg("level") = 0,
         py::arg("initial_affine") = Numbers{},
         py::arg("control_point_spacing") = 30.0,
         py::arg("sample_spacing") = 3,
         py::arg("interpolation_order") = 1,
         py::arg("threads") = 1,
         py::arg("moving_mask") = py::none(),
         py::arg("as_on_gpu") = false,
         py::arg("derivative_scales") = Numbers{},
         "fixed, moving: impact_plugin._core.Image. transform: Translation, Euler, Affine, BSpline or "
         "QuadraticBSpline, about the centre of the fixed image. initial_affine: parameters of an affine transform "
         "applied first. control_point_spacing: "
         "mm. sample_spacing: every n-th voxel of the fixed image along each axis is a sample. as_on_gpu: evaluates on "
         "the CPU as on a GPU. "
         "derivative_scales: elastix's MovingImageDerivativeScales, along the moving image's axes; empty: none.")
    .def_property_readonly("identity_parameters", &MetricEvaluator::identityParameters)
    .def_property_readonly("number_of_valid_samples", &MetricEvaluator::numberOfValidSamples)
    .def_property_readonly("evaluates_on_device",
                           &MetricEvaluator::evaluatesOnDevice,
                           "Whether evaluations stay on the level's device, or go as on a GPU.")
    .def_property_readonly("messages", &MetricEvaluator::messages, "What the user would have been told so far.")
    .def("request_moving_features",
         &MetricEvaluator::requestMovingFeatures,
         "With FeaturesMapUpdateInterval above 0: the next evaluation makes the moving features anew, from the moving "
         "image warped by the transform with that evaluation's parameters.")
    .def("describe_features", &MetricEvaluator::describeFeatures, "What elastix's log says of features and patches.")
    .def("value", &MetricEvaluator::value, py::arg("parameters"))
    .def(
      "value_and_derivative",
      [](MetricEvaluator & self, const Numbers & parameters) {
        Numbers      derivative;
        const double value = self.valueAndDerivative(parameters, derivative);
        return std::make_pair(value,
                              py::array_t<double>(static_cast<py::ssize_t>(derivative.size()), derivative.data()));
      },
      py::arg("parameters"));
}

} // namespace impact::bindings
