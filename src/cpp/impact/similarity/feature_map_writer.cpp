#include "impact/similarity/feature_map_writer.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace impact
{

void
FeatureMapWriter::input(const std::string & side, const ModelInput & input) const
{
  if (!m_Writer)
  {
    return;
  }
  std::ostringstream name;
  name << side << "_" << m_Level;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(input.grid.dimension); ++axis)
  {
    name << "_" << input.grid.spacing[axis];
  }
  const at::Tensor voxels = input.voxels.cpu().contiguous();
  m_Writer({ name.str(), input.grid, 1, voxels.data_ptr<float>() });
}

void
FeatureMapWriter::layers(const std::string &                side,
                         const std::vector<ModelSettings> & models,
                         const std::vector<FeatureMap> &    maps) const
{
  const auto nameOf = [](const ModelSettings & model) { return std::filesystem::path(model.path).stem().string(); };
  auto       map = maps.begin();
  for (std::size_t i = 0; m_Writer && i < models.size(); ++i)
  {
    const auto alike = std::count_if(
      models.begin(), models.end(), [&](const ModelSettings & other) { return nameOf(other) == nameOf(models[i]); });
    // Models of the same name are told apart by their number.
    const std::string model = nameOf(models[i]) + (alike > 1 ? "-" + std::to_string(i) : "");
    for (std::size_t layer = 0; layer < models[i].layersMask.size(); ++layer)
    {
      if (!models[i].layersMask[layer])
      {
        continue;
      }
      const std::string suffix = numberOfSelectedLayers(models[i]) > 1 ? "_" + std::to_string(layer) : "";
      const at::Tensor  rows = map->rows.cpu().to(at::kFloat).contiguous();
      m_Writer({ side + "_" + std::to_string(m_Level) + "_" + model + suffix,
                 map->grid,
                 rows.size(1),
                 rows.data_ptr<float>() });
      ++map;
    }
  }
}

} // namespace impact
