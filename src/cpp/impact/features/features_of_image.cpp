#include "impact/api/network.h"
#include "impact/features/feature_map.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_scope.h"

namespace impact
{

std::vector<ImageFeatures>
featuresOf(const ImageView & image, const ModelSettings & settings, int gpu)
{
  const TorchScope           scope(nullptr);
  const at::Device           device = deviceOf(gpu);
  std::vector<ImageFeatures> result;
  onDevice(device, "the making of feature maps", [&] {
    for (const FeatureMap & map : makeFeatureMaps(*loadTorchScript(settings.path, device),
                                                  settings,
                                                  makeModelInput(settings, image, image.grid.direction, device)))
    {
      const at::Tensor    rows = map.rows.cpu();
      const float * const first = rows.data_ptr<float>();
      result.push_back({ map.grid, rows.size(1), { first, first + rows.numel() } });
    }
  });
  return result;
}

} // namespace impact
