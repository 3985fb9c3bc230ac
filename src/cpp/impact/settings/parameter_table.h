#pragma once

#include <string>
#include <vector>

namespace impact
{

/** One parameter of the metric, as its documentation describes it. */
struct ParameterDescription
{
  /** How its values are counted. */
  enum class Scope
  {
    Model, // one value for all models of a level, or one for each
    Layer, // one for all selected layers of a level, one per model, or one for each
    Level  // one per level
  };

  std::string name;
  Scope       scope;
  bool        perImage; // has the variants Fixed<Name> and Moving<Name>
  std::string type;
  std::string unit;         // empty: none
  std::string defaultValue; // empty: none, the parameter must be given
  std::string allowed;      // short; messages and docs say the rest
};

/** Every parameter that the parser reads, in the order in which documentation lists them. */
const std::vector<ParameterDescription> & parameterTable();

std::string toString(ParameterDescription::Scope scope);

/** Its name and, where it has them, those of its variants for one image. */
std::vector<std::string> namesOf(const ParameterDescription & parameter);

} // namespace impact
