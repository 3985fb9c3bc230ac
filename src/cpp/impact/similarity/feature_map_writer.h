#pragma once

#include "impact/api/similarity.h"
#include "impact/features/feature_map.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace impact
{

/** Names what models see and give, for WriteFeatureMaps, and passes it on; does nothing where nobody wants it. */
class FeatureMapWriter
{
public:
  FeatureMapWriter(std::function<void(const MapToWrite &)> writer, int level)
    : m_Writer(std::move(writer))
    , m_Level(level)
  {}

  /** As <side>_<level>_<voxel sizes, mm>. */
  void input(const std::string & side, const ModelInput & input) const;

  /** As <side>_<level>_<model>, and _<layer> where several of the model are selected.
   *
   * \param maps of the selected layers of these models, in order */
  void layers(const std::string &                side,
              const std::vector<ModelSettings> & models,
              const std::vector<FeatureMap> &    maps) const;

private:
  std::function<void(const MapToWrite &)> m_Writer;
  int                                     m_Level;
};

} // namespace impact
