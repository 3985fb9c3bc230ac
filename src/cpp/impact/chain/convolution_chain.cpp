#include "impact/chain/chain_blocks.h"

#include "impact/base/error.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace impact
{
namespace
{

// What a patch may take on its way through the chain; larger ones go through torch, one at a time.
constexpr std::int64_t bytesPerPatch = std::int64_t{ 1 } << 28;

} // namespace

bool
chainsAreWanted()
{
  static const bool wanted = [] {
    const char * const given = std::getenv("IMPACT_CHAINS");
    const std::string  value = given ? given : "";
    if (!value.empty() && value != "on" && value != "off")
    {
      throw Error("The environment variable IMPACT_CHAINS is \"" + value + "\".",
                  "Allowed: on, chains of convolutions run in the plugin's own code where they can; off, all "
                  "networks run in torch; or unset, which is on.");
    }
    return value != "off";
  }();
  return wanted;
}

ConvolutionChain::Tape::Tape() = default;
ConvolutionChain::Tape::~Tape() = default;

ConvolutionChain::ConvolutionChain(const ChainDescription &              description,
                                   int                                   dimension,
                                   bool                                  ofGrey,
                                   std::shared_ptr<Pool<ChainWorkspace>> memory)
  : m_Dimension(dimension)
  , m_Outputs(description.outputs)
  , m_OfTasks(std::move(memory))
  , m_OfBlocks(std::make_unique<Pool<Workspace>>())
{
  for (const ChainUnit & unit : description.units)
  {
    m_Units.push_back(std::make_unique<ConvolutionUnit>(unit, m_Units.empty() && ofGrey));
  }
}

ConvolutionChain::~ConvolutionChain() = default;

std::shared_ptr<const ConvolutionChain>
ConvolutionChain::make(const ChainDescription & description, int dimension, int numberOfChannels)
{
  spectralKernels(); // says what is wrong with the environment, if anything, before anything is run
  const at::Tensor & first = description.units.front().weight;
  if (!chainsAreWanted() || first.dim() != dimension + 2 || first.size(1) != numberOfChannels)
  {
    return nullptr;
  }
  return std::shared_ptr<const ConvolutionChain>(
    new ConvolutionChain(description, dimension, true, std::make_shared<Pool<ChainWorkspace>>()));
}

std::shared_ptr<const ConvolutionChain>
ConvolutionChain::ofChannels(const ChainDescription & description, const std::shared_ptr<Pool<ChainWorkspace>> & memory)
{
  const at::Tensor & first = description.units.front().weight;
  if (!chainsAreWanted())
  {
    return nullptr;
  }
  return std::shared_ptr<const ConvolutionChain>(
    new ConvolutionChain(description, static_cast<int>(first.dim()) - 2, first.size(1) == 1, memory));
}

std::vector<ConvolutionChain::Size>
ConvolutionChain::sizes(const Size & input) const
{
  std::vector<Size> result{ input };
  for (const auto & unit : m_Units)
  {
    result.push_back(unit->outputSize(result.back()));
  }
  return result;
}

std::int64_t
ConvolutionChain::leastVoxels(const Size & size) const
{
  std::int64_t least = voxelsOf(size);
  for (const Size & each : sizes(size))
  {
    least = std::min(least, each[0] < 1 || each[1] < 1 || each[2] < 1 ? 0 : voxelsOf(each));
  }
  return least;
}

bool
ConvolutionChain::acceptsPatches(const Size & size) const
{
  const auto   all = sizes(size);
  std::int64_t bytes = 0;
  for (std::size_t u = 0; u < m_Units.size(); ++u)
  {
    bytes += voxelsOf(all[u + 1]) * m_Units[u]->paddedChannels() * static_cast<std::int64_t>(sizeof(float));
  }
  return accepts(size) && bytes <= bytesPerPatch;
}

std::vector<ConvolutionChain::Size>
ConvolutionChain::layerSizes(const Size & input) const
{
  const auto        all = sizes(input);
  std::vector<Size> result;
  for (const std::size_t unit : m_Outputs)
  {
    result.push_back(all[unit + 1]);
  }
  return result;
}

std::vector<ConvolutionChain::Layer>
ConvolutionChain::description() const
{
  std::vector<Layer> ofUnits;
  LayerLayout        layout;
  for (const auto & unit : m_Units)
  {
    unit->extend(layout);
    ofUnits.push_back({ unit->channels(), layout });
  }
  std::vector<Layer> result;
  for (const std::size_t unit : m_Outputs)
  {
    result.push_back(ofUnits[unit]);
  }
  return result;
}

} // namespace impact
