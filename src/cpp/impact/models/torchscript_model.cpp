#include "impact/models/model.h"

#include "impact/base/error.h"
#include "impact/chain/convolution_chain.h"
#include "impact/models/admission.h"
#include "impact/models/layer_layout.h"
#include "impact/models/mind.h"
#include "impact/models/network_chain.h"
#include "impact/models/network_outline.h"
#include "impact/models/operators_in_pieces.h"
#include "impact/models/plain_graph.h"
#include "impact/models/plain_network.h"
#include "impact/models/proof.h"
#include "impact/models/time_limit.h"
#include "impact/runtime/device.h"
#include "impact/runtime/torch_messages.h"

#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

namespace impact
{
namespace
{

/** What forward() takes besides the image. Read from the names of its arguments, or from their number. */
enum class Argument
{
  NumberOfLayers,
  Statistics,
  Direction
};

std::vector<Argument>
extraArguments(const c10::FunctionSchema & schema, const std::string & path)
{
  constexpr std::array<Argument, 3> byPlace{ Argument::NumberOfLayers, Argument::Statistics, Argument::Direction };
  std::vector<Argument>             extra;
  const auto &                      arguments = schema.arguments(); // self and the image first
  for (std::size_t i = 2; i < arguments.size(); ++i)
  {
    const std::string & name = arguments[i].name();
    const auto          contains = [&name](const char * part) { return name.find(part) != std::string::npos; };
    if (arguments[i].default_value() && !c10::TensorType::get()->isSubtypeOf(*arguments[i].type()))
    {
      break; // a switch of the model's own, and neither is what follows of concern to us
    }
    if (contains("layer"))
    {
      extra.push_back(Argument::NumberOfLayers);
    }
    else if (contains("stat"))
    {
      extra.push_back(Argument::Statistics);
    }
    else if (contains("direction"))
    {
      extra.push_back(Argument::Direction);
    }
    else if (arguments[i].default_value())
    {
      break; // of no concern to us, and neither is what follows
    }
    else if (i - 2 < byPlace.size())
    {
      extra.push_back(byPlace[i - 2]);
    }
    else
    {
      throw ModelError(path,
                       ": forward() takes " + std::to_string(arguments.size() - 1) + " arguments.",
                       "Allowed: (x), (x, nb_layers), (x, nb_layers, stats), (x, nb_layers, stats, direction).");
    }
  }
  return extra;
}

/** Autocast to half precision on a GPU for as long as this lives. */
class MixedPrecision
{
public:
  MixedPrecision(at::Device device, bool wanted)
    : m_Kind(device.type())
    , m_Wanted(wanted)
  {
    if (m_Wanted)
    {
      at::autocast::increment_nesting();
      at::autocast::set_autocast_enabled(m_Kind, true);
    }
  }
  ~MixedPrecision()
  {
    if (m_Wanted)
    {
      at::autocast::set_autocast_enabled(m_Kind, false);
      if (at::autocast::decrement_nesting() == 0)
      {
        at::autocast::clear_cache();
      }
    }
  }
  MixedPrecision(const MixedPrecision &) = delete;
  MixedPrecision & operator=(const MixedPrecision &) = delete;

private:
  at::DeviceType m_Kind;
  bool           m_Wanted;
};

class TorchScriptModel : public Model
{
public:
  TorchScriptModel(std::string path, torch::jit::Module module, at::Device device, bool mixedPrecision)
    : m_Path(std::move(path))
    , m_Module(std::move(module))
    , m_Device(device)
    , m_MixedPrecision(mixedPrecision)
    , m_Extra(extraArguments(m_Module.get_method("forward").function().getSchema(), m_Path))
    , m_Mind(Mind::of(m_Module))
  {
    for (const at::Tensor & parameter : m_Module.parameters())
    {
      m_ScalarType = parameter.is_floating_point() ? parameter.scalar_type() : m_ScalarType;
    }
  }

  std::vector<at::Tensor>
  layers(const at::Tensor & input, std::size_t numberOfLayers, const ImageContext & context) const override
  {
    return called(input, [&](const at::Tensor & image) {
      std::vector<c10::IValue> arguments{ image };
      for (const Argument argument : m_Extra)
      {
        switch (argument)
        {
          case Argument::NumberOfLayers:
            arguments.emplace_back(numberOfLayersAsTensor(numberOfLayers));
            break;
          case Argument::Statistics:
            arguments.emplace_back(context.statistics);
            break;
          case Argument::Direction:
            arguments.emplace_back(context.direction);
            break;
        }
      }
      // forward() is not const in torch's interface, though it changes nothing here.
      return toTensors(
        (m_Device.is_cpu() && OperatorsInPieces::areWanted() ? inPieces() : const_cast<torch::jit::Module &>(m_Module))
          .forward(std::move(arguments)));
    });
  }

  std::vector<at::Tensor>
  selected(const at::Tensor & input, const std::vector<bool> & mask, const ImageContext & context) const override
  {
    const std::int64_t numberOfChannels = input.dim() > 1 ? input.size(1) : 0;
    if (plainUseFor(input) == PlainUse::InPieces && isMind(mask, input.dim() - 2, numberOfChannels))
    {
      const auto call = [this](const at::Tensor & image) { return std::vector{ (*m_Mind)(image) }; };
      return checked(called(input, call), mask, input);
    }
    const PlainKey key{
      mask, static_cast<int>(input.dim() - 2), static_cast<int>(numberOfChannels), numbersOf(context.direction)
    };
    const auto plain = plainOf(key, plainUseFor(input));
    if (!plain)
    {
      return Model::selected(input, mask, context);
    }
    return checked(
      called(input, [&](const at::Tensor & image) { return toTensors(plain->run(image, context)); }), mask, input);
  }

  bool
  isKnownToRepeat(const std::vector<bool> & mask,
                  int                       dimension,
                  int                       numberOfChannels,
                  const at::Tensor &        direction) const override
  {
    const auto plain = plainOf({ mask, dimension, numberOfChannels, numbersOf(direction) }, PlainUse::InPieces);
    return plain && plain->repeats();
  }

  std::size_t
  chainsWithin(const std::vector<bool> & mask,
               int                       dimension,
               int                       numberOfChannels,
               const at::Tensor &        direction) const override
  {
    if (isMind(mask, dimension, numberOfChannels))
    {
      return 1;
    }
    const auto plain = plainOf({ mask, dimension, numberOfChannels, numbersOf(direction) }, PlainUse::InPieces);
    return plain ? plain->numberOfChains() : 0;
  }

  std::optional<NetworkOutline>
  outline(const std::vector<bool> &           mask,
          int                                 dimension,
          int                                 numberOfChannels,
          const at::Tensor &                  direction,
          const std::array<std::int64_t, 3> & size) const override
  {
    const auto plain = plainOf({ mask, dimension, numberOfChannels, numbersOf(direction) }, PlainUse::InPieces);
    auto found = plain ? outlineOf(*plain->graph(), inputShape(1, numberOfChannels, dimension, size)) : std::nullopt;
    if (found && isMind(mask, dimension, numberOfChannels))
    {
      found->bytes = m_Mind->bytesOf(size);
    }
    return found;
  }

  const std::string &
  path() const override
  {
    return m_Path;
  }

  std::vector<std::string>
  arguments() const override
  {
    std::vector<std::string> names;
    for (const Argument argument : m_Extra)
    {
      names.emplace_back(argument == Argument::NumberOfLayers ? "nb_layers"
                         : argument == Argument::Statistics   ? "stats"
                                                              : "direction");
    }
    return names;
  }

  bool
  acceptsNumberOfLayers() const override
  {
    return std::find(m_Extra.begin(), m_Extra.end(), Argument::NumberOfLayers) != m_Extra.end();
  }

  const NetworkChain *
  chain(const std::vector<bool> & mask, int dimension, int numberOfChannels, const at::Tensor & direction, ChainUse use)
    const override
  {
    if (!m_Device.is_cpu() || m_ScalarType != at::kFloat)
    {
      return nullptr;
    }
    const PlainKey             key{ mask, dimension, numberOfChannels, numbersOf(direction) };
    const ProofInput           input{ dimension, numberOfChannels, direction };
    const NetworkChain * const found =
      m_Chains
        ->of(key,
             [&]() -> std::shared_ptr<const NetworkChain> {
               const auto graph = plainGraphOf(key);
               auto       made = graph ? NetworkChain::make(*graph, dimension, numberOfChannels) : nullptr;
               return made && givesTheSameLayers(selectedBy(mask), *made, input) ? made : nullptr;
             })
        .get();
    const bool fits = found && (use == ChainUse::Images || m_ChainsForPatches->of(key, [&] {
                        return givesTheSamePatches(selectedBy(mask), *found, input);
                      }));
    return fits ? found : nullptr;
  }

private:
  /** Mask, dimension, number of channels, direction of the images. */
  using PlainKey = std::tuple<std::vector<bool>, int, int, std::vector<float>>;

  using PlainPointer = std::shared_ptr<const PlainNetwork>;

  at::Tensor
  numberOfLayersAsTensor(std::size_t numberOfLayers) const
  {
    return at::full({ 1 }, static_cast<std::int64_t>(numberOfLayers), at::dtype(at::kLong).device(m_Device));
  }

  /** What of a direction the network is told. */
  std::vector<float>
  numbersOf(const at::Tensor & direction) const
  {
    if (std::find(m_Extra.begin(), m_Extra.end(), Argument::Direction) == m_Extra.end())
    {
      return {};
    }
    const at::Tensor numbers = direction.to(at::kCPU, at::kFloat).contiguous();
    return { numbers.const_data_ptr<float>(), numbers.const_data_ptr<float>() + numbers.numel() };
  }

  /** Whether the network is called, and what it says of what it refuses. */
  template <typename TCall>
  std::vector<at::Tensor>
  called(const at::Tensor & input, const TCall & call) const
  {
    if (m_WasStopped)
    {
      throw TimeLimit::errorOf(m_Path, shapeOf(input)); // not to be waited for again, by each image and each level
    }
    // A copy: a model that changes its input in place must not change anybody's image.
    const at::Tensor     image = input.to(m_ScalarType, /*non_blocking=*/false, /*copy=*/true);
    const MixedPrecision mixedPrecision(m_Device, m_MixedPrecision);
    // Operations run as they are, from the first time on: fusers compile kernels while the model runs, for which a GPU
    // needs NVRTC, and what a graph becomes after some runs may round otherwise. The switch is this thread's own.
    const torch::jit::GraphOptimizerEnabledGuard asTheyAre(false);
    try
    {
      return call(image);
    }
    catch (const Error &)
    {
      throw;
    }
    catch (const std::exception & error)
    {
      if (TimeLimit::isOver())
      {
        m_WasStopped = true;
        throw TimeLimit::errorOf(m_Path, shapeOf(input));
      }
      if (isOutOfMemory(error))
      {
        throw outOfMemory(m_Device, "an input of " + shapeOf(input) + " of model file \"" + m_Path + "\"", m_Path);
      }
      if (isDeviceFailure(error))
      {
        throw; // not the model's fault
      }
      throw ModelError(m_Path,
                       " refused an input of " + shapeOf(input) + " (batch x channels x voxels): " + firstLine(error),
                       "Check Dimension, NumberOfChannels and PatchSize against what the model was made for.");
    }
  }

  /** The same network with operators that run in pieces, made when it is first wanted. */
  torch::jit::Module &
  inPieces() const
  {
    std::call_once(m_InPiecesOnce, [this] { m_InPieces = withOperatorsInPieces(m_Module); });
    return m_InPieces;
  }

  /** The network without what the arguments that are always alike decide; null where there is no such graph. */
  std::shared_ptr<torch::jit::Graph>
  plainGraphOf(const PlainKey & key) const
  {
    const auto & [mask, dimension, numberOfChannels, direction] = key;
    const std::size_t numberOfLayers = numberOfLayersFor(mask);
    PlainRequest      request{ dimension + 2,
                               {},
                               { mask.begin(), mask.begin() + static_cast<std::ptrdiff_t>(numberOfLayers) },
                               !acceptsNumberOfLayers() };
    for (const Argument argument : m_Extra)
    {
      switch (argument)
      {
        case Argument::NumberOfLayers:
          request.arguments.emplace_back(numberOfLayersAsTensor(numberOfLayers));
          break;
        case Argument::Statistics:
          request.arguments.emplace_back(std::nullopt);
          break;
        case Argument::Direction:
        {
          const auto length = std::llround(std::sqrt(static_cast<double>(direction.size())));
          request.arguments.emplace_back(at::tensor(direction).view({ length, length }));
          break;
        }
      }
    }
    return plainGraph(m_Module, request);
  }

  /** How the plain graph is run: each way is compared with the file for itself, when it is first wanted. */
  enum class PlainUse
  {
    AsItIs,
    WithDerivative,
    InPieces // and chains within it by our own kernels, where these give the same
  };

  static PlainUse
  plainUseFor(const at::Tensor & input)
  {
    if (at::GradMode::is_enabled())
    {
      return input.requires_grad() ? PlainUse::WithDerivative : PlainUse::AsItIs;
    }
    return OperatorsInPieces::areWanted() ? PlainUse::InPieces : PlainUse::AsItIs;
  }

  /** The network as a plain graph, where it was seen to give what the file gives; null where it was not. */
  PlainPointer
  plainOf(const PlainKey & key, PlainUse use) const
  {
    if (!m_Device.is_cpu())
    {
      return nullptr;
    }
    const PlainPointer & plain = m_Plains->of(key, [&]() -> PlainPointer {
      const auto graph = plainGraphOf(key);
      return graph ? std::make_shared<const PlainNetwork>(graph, false) : nullptr;
    });
    if (!plain)
    {
      return nullptr;
    }
    if (use == PlainUse::InPieces && m_ScalarType == at::kFloat)
    {
      const PlainPointer & byKernels = m_PlainsByKernels->of(key, [&]() -> PlainPointer {
        auto                    made = std::make_shared<const PlainNetwork>(plain->graph(), true);
        const OperatorsInPieces inPieces;
        return made->numberOfChains() > 0 && isSame(key, *made, ProofOf::LayersNearly) ? made : nullptr;
      });
      if (byKernels)
      {
        return byKernels;
      }
    }
    const bool withDerivative = use == PlainUse::WithDerivative;
    const bool same = m_PlainsAreSame->of({ key, withDerivative }, [&] {
      return isSame(key, *plain, withDerivative ? ProofOf::Derivative : ProofOf::Layers);
    });
    return same ? plain : nullptr;
  }

  bool
  isSame(const PlainKey & key, const PlainNetwork & plain, ProofOf what) const
  {
    const auto & [mask, dimension, numberOfChannels, direction] = key;
    const auto       length = std::llround(std::sqrt(static_cast<double>(direction.size())));
    const ProofInput input{ dimension, numberOfChannels, at::tensor(direction).view({ length, length }) };
    return isTheSame(
      [&, &selected = mask](const at::Tensor & image, const ImageContext & context) {
        return Model::selected(image, selected, context);
      },
      [&](const at::Tensor & image, const ImageContext & context) {
        return called(image, [&](const at::Tensor & copy) { return toTensors(plain.run(copy, context)); });
      },
      input,
      what);
  }

  /** Whether it is MIND, and was seen to give the bits of our own. */
  bool
  isMind(const std::vector<bool> & mask, std::int64_t dimension, std::int64_t numberOfChannels) const
  {
    if (!m_Mind || !m_Device.is_cpu() || m_ScalarType != at::kFloat || dimension != m_Mind->dimension() ||
        numberOfChannels != 1 || mask != std::vector<bool>{ true } || !m_Extra.empty() || !chainsAreWanted())
    {
      return false;
    }
    std::call_once(m_MindOnce, [this] {
      const OperatorsInPieces inPieces;
      m_IsMind =
        isTheSame([this](const at::Tensor & image, const ImageContext & context) { return layers(image, 1, context); },
                  [this](const at::Tensor & image, const ImageContext &) { return std::vector{ (*m_Mind)(image) }; },
                  { m_Mind->dimension(), 1, at::eye(m_Mind->dimension(), at::kFloat) },
                  ProofOf::Bits);
    });
    return m_IsMind;
  }

  /** The layers as they are made where there is no chain. */
  LayersOf
  selectedBy(const std::vector<bool> & mask) const
  {
    return
      [this, mask](const at::Tensor & image, const ImageContext & context) { return selected(image, mask, context); };
  }

  std::vector<at::Tensor>
  toTensors(const c10::IValue & output) const
  {
    std::vector<at::Tensor> result;
    if (output.isTensor())
    {
      result.push_back(output.toTensor());
    }
    else if (output.isTensorList())
    {
      result = output.toTensorVector();
    }
    else if (output.isList() || output.isTuple())
    {
      const auto elements = output.isList() ? output.toListRef().vec() : output.toTupleRef().elements().vec();
      for (const c10::IValue & element : elements)
      {
        if (!element.isTensor())
        {
          throw wrongOutput(output);
        }
        result.push_back(element.toTensor());
      }
    }
    else
    {
      throw wrongOutput(output);
    }
    for (at::Tensor & tensor : result)
    {
      if (!tensor.defined())
      {
        throw wrongOutput(c10::IValue());
      }
      if (tensor.is_complex())
      {
        throw ModelError(m_Path, ": forward() returned complex numbers.", "Allowed: real ones.");
      }
      const char * const kind = tensor.layout() != at::kStrided ? "sparse"
                                : tensor.is_nested()            ? "nested"
                                : tensor.is_quantized()         ? "quantised"
                                : tensor.is_meta()              ? "empty (meta)"
                                                                : nullptr;
      if (kind)
      {
        throw ModelError(m_Path,
                         std::string(": forward() returned a tensor that is ") + kind + ".",
                         "Allowed: dense ones, as x.to_dense() and x.dequantize() give them.");
      }
      tensor = tensor.to(at::kFloat);
    }
    return result;
  }

  ModelError
  wrongOutput(const c10::IValue & output) const
  {
    return ModelError(m_Path,
                      ": forward() returned " + output.tagKind() + ".",
                      "Allowed: a tensor, or a list or tuple of tensors, one per layer.");
  }

  std::string           m_Path;
  torch::jit::Module    m_Module;
  at::Device            m_Device;
  bool                  m_MixedPrecision;
  std::vector<Argument> m_Extra;

  mutable std::once_flag     m_InPiecesOnce;
  mutable torch::jit::Module m_InPieces;

  std::optional<Mind>    m_Mind;
  mutable std::once_flag m_MindOnce;
  mutable bool           m_IsMind{ false };

  at::ScalarType            m_ScalarType{ at::kFloat };
  mutable std::atomic<bool> m_WasStopped{ false };

  /** What was found out about it: null where there is none, and whether one does for what is more. */
  std::unique_ptr<Memo<PlainKey, PlainPointer>> m_Plains{ std::make_unique<Memo<PlainKey, PlainPointer>>() };
  std::unique_ptr<Memo<PlainKey, PlainPointer>> m_PlainsByKernels{ std::make_unique<Memo<PlainKey, PlainPointer>>() };
  std::unique_ptr<Memo<std::pair<PlainKey, bool>, bool>> m_PlainsAreSame{
    std::make_unique<Memo<std::pair<PlainKey, bool>, bool>>()
  };
  std::unique_ptr<Memo<PlainKey, std::shared_ptr<const NetworkChain>>> m_Chains{
    std::make_unique<Memo<PlainKey, std::shared_ptr<const NetworkChain>>>()
  };
  std::unique_ptr<Memo<PlainKey, bool>> m_ChainsForPatches{ std::make_unique<Memo<PlainKey, bool>>() };
};

} // namespace

ModelPointer
loadTorchScript(const std::string & path, at::Device device, bool mixedPrecision)
{
  const bool isMixed = mixedPrecision && !device.is_cpu();
  return std::make_shared<TorchScriptModel>(path, admitted(path, device, isMixed), device, isMixed);
}

} // namespace impact
