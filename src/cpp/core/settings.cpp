#include "settings.h"

#include <algorithm>
#include <sstream>

namespace impact
{

std::string
toString(Mode mode)
{
  return mode == Mode::Static ? "Static" : "Jacobian";
}

std::string
toString(Distance distance)
{
  switch (distance)
  {
    case Distance::L1:
      return "L1";
    case Distance::L2:
      return "L2";
    case Distance::Cosine:
      return "Cosine";
    case Distance::L1Cosine:
      return "L1Cosine";
    case Distance::Dice:
      return "Dice";
    case Distance::NCC:
      return "NCC";
    case Distance::DotProduct:
      return "DotProduct";
  }
  return "?";
}

std::optional<Distance>
toDistance(const std::string & name)
{
  for (const Distance distance : allDistances)
  {
    if (name == toString(distance))
    {
      return distance;
    }
  }
  return std::nullopt;
}

std::string
namesOfDistances()
{
  std::string names;
  for (const Distance distance : allDistances)
  {
    names += (names.empty() ? "\"" : ", \"") + toString(distance) + "\"";
  }
  return names;
}

std::size_t
numberOfSelectedLayers(const ModelSettings & model)
{
  return static_cast<std::size_t>(std::count(model.layersMask.begin(), model.layersMask.end(), true));
}

std::size_t
numberOfSelectedLayers(const std::vector<ModelSettings> & models)
{
  std::size_t count = 0;
  for (const ModelSettings & model : models)
  {
    count += numberOfSelectedLayers(model);
  }
  return count;
}

namespace
{

template <typename T>
std::string
joined(const std::vector<T> & values)
{
  std::ostringstream text;
  for (std::size_t i = 0; i < values.size(); ++i)
  {
    text << (i ? "*" : "") << values[i];
  }
  return text.str();
}

/** Without the zeros that stand for an axis on which the image's own spacing is kept. */
std::string
describeVoxelSize(std::vector<double> voxelSize)
{
  while (!voxelSize.empty() && voxelSize.back() == 0.0)
  {
    voxelSize.pop_back();
  }
  return joined(voxelSize);
}

void
describeModel(std::ostream & text, const std::string & side, const ModelSettings & model)
{
  text << "  " << side << " model       " << model.path << "\n"
       << "    Dimension " << model.dimension << ", NumberOfChannels " << model.numberOfChannels << ", PatchSize "
       << joined(model.patchSize) << ", VoxelSize " << describeVoxelSize(model.voxelSize) << " mm, LayersMask ";
  for (const bool selected : model.layersMask)
  {
    text << (selected ? '1' : '0');
  }
  text << "\n";
}

} // namespace

std::string
describe(const LevelSettings & settings)
{
  std::ostringstream text;
  text << "  Mode " << toString(settings.mode) << ", ";
  if (settings.gpu < 0)
  {
    text << "on the CPU\n";
  }
  else
  {
    text << "GPU " << settings.gpu << "\n";
  }
  for (std::size_t i = 0; i < settings.fixedModels.size(); ++i)
  {
    describeModel(text, "Fixed ", settings.fixedModels[i]);
    describeModel(text, "Moving", settings.movingModels[i]);
  }
  for (std::size_t i = 0; i < settings.layers.size(); ++i)
  {
    const LayerSettings & layer = settings.layers[i];
    text << "  Layer " << i << ": Distance " << toString(layer.distance) << ", LayersWeight " << layer.weight
         << ", PCA " << layer.pca << ", SubsetFeatures ";
    if (layer.subsetFeatures > 0)
    {
      text << layer.subsetFeatures << "\n";
    }
    else
    {
      text << "all\n";
    }
  }
  return text.str();
}

} // namespace impact
