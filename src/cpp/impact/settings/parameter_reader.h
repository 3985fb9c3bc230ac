#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace impact
{

/** A parameter map as elastix reads it: the entries of each parameter, quotes removed. */
using ParameterMap = std::map<std::string, std::vector<std::string>>;

/** What a parameter map says of one parameter at one resolution level. */
struct ParameterEntry
{
  std::string              name;        // as the user wrote it
  std::vector<std::string> values;      // see each lookup below
  std::size_t              levels{ 1 }; // for how many resolution levels there are entries
};

/** Finds a parameter in any of the dialects in which maps for IMPACT have been written.
 *
 * The first that is present wins; all with the metric's label in front come before those without:
 *  1. `Impact<Name><level>`: one list per level, over the models or layers: `(ImpactPatchSize1 5 5 5 7 7 7)`;
 *  2. `Impact<Name>` and 3. `<Name>`: one entry per level, models and layers separated by spaces inside the entry:
 *     `(PatchSize "5*5*5 7*7*7" "3*3*3")`.
 * A level without its own value uses the first level's. */
class ParameterReader
{
public:
  /** \param map must outlive the reader */
  ParameterReader(const ParameterMap & map, std::string label, int numberOfLevels)
    : m_Map(map)
    , m_Label(std::move(label))
    , m_NumberOfLevels(static_cast<std::size_t>(numberOfLevels))
  {}

  std::size_t
  numberOfLevels() const
  {
    return m_NumberOfLevels;
  }

  /** The name under which the map has a parameter for a level; empty where it has none. */
  std::string
  spelling(const std::string & name, int level) const
  {
    const auto found = find(name, level);
    return found ? found->name : std::string();
  }

  /** One value per level, in every dialect: Mode, GPU and the like. Where a level has a list of its own, all of that.
   */
  std::optional<ParameterEntry> perLevel(const std::string & name, int level) const;

  /** Several values per level: words split at spaces, `*` kept. */
  std::optional<ParameterEntry> list(const std::string & name, int level) const;

  /** Paths of files: as `list`, but a space belongs to a path where what stands before it does not end like the name of
   * a model file (.pt, .pth, .ts, .jit) and what follows does. */
  std::optional<ParameterEntry> paths(const std::string & name, int level) const;

  /** Numbers per axis, `count` of them at each level. Words split at spaces and `*`. In dialects 2 and 3 plain numbers
   * in a row are, by their number: one of each axis of every level, `(VoxelSize 6 6 6 3 3 3)`; of each axis, for all
   * levels; of each level, for all axes. Other numbers are returned as they stand, for the caller to refuse. */
  std::optional<ParameterEntry> sizes(const std::string & name, int level, std::size_t count) const;

private:
  struct Found
  {
    std::string              name;
    std::vector<std::string> entries;
    bool                     ofThisLevel; // dialect 1: the entries are this level's alone
  };

  std::optional<Found> find(const std::string & name, int level) const;

  const ParameterMap & m_Map;
  std::string          m_Label;
  std::size_t          m_NumberOfLevels;
};

/** Splits at any of the separators, dropping empty parts. */
std::vector<std::string> split(const std::string & text, const std::string & separators);

} // namespace impact
