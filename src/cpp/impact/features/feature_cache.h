#pragma once

#include "impact/features/feature_map.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

/** Feature maps on disk, for images that many registrations share: made once, and mapped into the memory of all the
 * processes that use them at a time, which hold them once together.
 *
 * A map is known by everything that it depends on: the voxels that the model sees, what it is told besides, the bytes
 * of its file, the settings, torch's version and the kind of processor. Files appear whole or not at all. They may be
 * deleted at any time; the time of a file is that of its last use. */
class FeatureCache
{
public:
  /** The folder that the environment variable IMPACT_FEATURE_CACHE names, made where it is missing; none where it is
   * unset or empty. \throws Error for a folder that cannot be written */
  static std::optional<FeatureCache> ofEnvironment();

  explicit FeatureCache(std::string folder);

  struct Maps
  {
    std::vector<FeatureMap> maps;
    bool                    found{ false }; // rather than made

    /** Why they could not be kept; empty: they were, or were found. */
    std::string notKept;
  };

  /** The maps of a model for an image; made where the folder has none, and then kept there while the disk has room: of
   * what is free on it a tenth is left. */
  Maps get(const Model &                                    model,
           const ModelSettings &                            settings,
           const ModelInput &                               input,
           const std::function<std::vector<FeatureMap>()> & make) const;

private:
  std::string m_Folder;
};

} // namespace impact
