#pragma once

#include "impact/api/layout.h"
#include "impact/api/model_repository.h"
#include "impact/base/error.h"
#include "impact/base/geometry.h"
#include "impact/base/memo.h"
#include "impact/runtime/torch_headers.h"

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace impact
{

class NetworkChain;

/** What some models want to know of the whole image that their input comes from. */
struct ImageContext
{
  at::Tensor statistics; // [min, max, mean, sigma], float32
  at::Tensor direction;  // 3 x 3 (2 x 2 in 2D): the direction cosines snapped to a signed permutation, float32

  /** \param axes direction cosines of the axes along which the model sees the image */
  static ImageContext of(const ImageView & image, const Matrix & axes, at::Device device);

  static at::Tensor directionOf(const Matrix & axes, int dimension);
};

/** What a chain was compared with the network for: whole images, or patches there and back as well. */
enum class ChainUse
{
  Images,
  Patches
};

/** What a run on a small input told of a layer. */
struct TriedLayer
{
  std::int64_t channels;
  double       voxels; // for each voxel of the input
  bool         differentiable;
};

/** What a run on a small input told. */
struct ModelTrial
{
  std::vector<TriedLayer> layers;
  double                  bytes{ 0.0 }; // that it took at its peak, for each voxel of the input
};

/** What a network makes of an image of some size, as is known without running it. */
struct NetworkOutline
{
  struct Layer
  {
    std::int64_t                channels;
    std::array<std::int64_t, 3> size;   // x, y, z
    std::optional<LayerLayout>  layout; // none where its voxels lie in no order of the image's
  };
  std::vector<Layer> layers;
  std::int64_t       bytes{ 0 }; // of all that is kept at a time, at its most
};

/** What is found out about a model while it is used, each once: images and levels share it. Thread-safe. */
struct ModelMemory
{
  /** By dimension, number of channels, mask, how much longer than `side` the inputs were and, for those that could not
   * be measured, the range of intensities in which that was tried. */
  struct Layouts
  {
    std::vector<std::optional<LayerLayout>> layouts;
    std::int64_t                            side{ 0 }; // of the inputs
  };
  using LayoutKey = std::tuple<int, int, std::vector<bool>, std::array<std::int64_t, 3>, double, double>;
  Memo<LayoutKey, Layouts> layouts;

  /** By number of channels, mask, shape of the input and whether it was to be differentiated. */
  using TrialKey = std::tuple<int, std::vector<bool>, std::vector<std::int64_t>, bool>;
  Memo<TrialKey, ModelTrial> trials;

  /** What tells the model's file from others, by its path. */
  Memo<std::string, std::string> fileSums;
};

/** A feature extractor: whatever the file format, a tensor goes in and one tensor per layer comes out. Thread-safe:
 * what is const may be called from several threads. */
class Model
{
public:
  virtual ~Model() = default;

  /** \param input N x C x H x W or N x C x D x H x W
   * \param numberOfLayers how many layers the mask speaks of
   * \return all layers that the model gives. \throws Error with torch's own reason when the model refuses the input */
  virtual std::vector<at::Tensor>
  layers(const at::Tensor & input, std::size_t numberOfLayers, const ImageContext & context) const = 0;

  virtual const std::string & path() const = 0;

  /** A quicker way to the selected layers on the CPU, for grey images repeated in all channels; null where there is
   * none.
   *
   * \param direction of the images, as ImageContext has it */
  virtual const NetworkChain *
  chain(const std::vector<bool> & /*mask*/,
        int /*dimension*/,
        int /*numberOfChannels*/,
        const at::Tensor & /*direction*/,
        ChainUse /*use*/) const
  {
    return nullptr;
  }

  /** How many chains within the network our own kernels run on whole images on the CPU, where they do not run it all on
   * patches, too; 1 for MIND. */
  virtual std::size_t
  chainsWithin(const std::vector<bool> & /*mask*/,
               int /*dimension*/,
               int /*numberOfChannels*/,
               const at::Tensor & /*direction*/) const
  {
    return 0;
  }

  /** Whether it is known, without calling it, to give the same layers for the same input each time. */
  virtual bool
  isKnownToRepeat(const std::vector<bool> & /*mask*/,
                  int /*dimension*/,
                  int /*numberOfChannels*/,
                  const at::Tensor & /*direction*/) const
  {
    return false;
  }

  /** What it makes of images of `size` (x, y, z) on the CPU; nothing where only running it tells. */
  virtual std::optional<NetworkOutline>
  outline(const std::vector<bool> & /*mask*/,
          int /*dimension*/,
          int /*numberOfChannels*/,
          const at::Tensor & /*direction*/,
          const std::array<std::int64_t, 3> & /*size*/) const
  {
    return std::nullopt;
  }

  /** What the model is told besides the image, in order: nb_layers, stats, direction. */
  virtual std::vector<std::string> arguments() const = 0;

  /** Whether the model is told how many layers to compute, so that a mask may be shorter than what it could give. */
  virtual bool acceptsNumberOfLayers() const = 0;

  /** The selected layers alone. \throws Error when mask and model do not fit. */
  virtual std::vector<at::Tensor>
  selected(const at::Tensor & input, const std::vector<bool> & mask, const ImageContext & context) const;

  /** What has been found out about it so far. */
  ModelMemory &
  memory() const
  {
    return *m_Memory;
  }

protected:
  /** How many layers are asked for. "110" is "11" to a network that is told how many to give: it need not go on. */
  std::size_t numberOfLayersFor(const std::vector<bool> & mask) const;

  /** Of those that the model gave, which must be as many as the mask has: the selected ones, seen to be layers. */
  std::vector<at::Tensor>
  checked(std::vector<at::Tensor> selected, const std::vector<bool> & mask, const at::Tensor & input) const;

private:
  std::unique_ptr<ModelMemory> m_Memory{ std::make_unique<ModelMemory>() };
};

using ModelPointer = std::shared_ptr<const Model>;

/** Opens a TorchScript file.
 *
 * \param mixedPrecision computes in half precision where torch finds that safe; on a GPU only
 * \throws ParameterError naming the file and what to do */
ModelPointer loadTorchScript(const std::string & path, at::Device device, bool mixedPrecision = false);

/** The models of a registration, each file read once. Thread-safe. */
class ModelRepository
{
public:
  ModelPointer get(const std::string & path, at::Device device, bool mixedPrecision = false);

private:
  Memo<std::tuple<std::string, std::string, bool>, ModelPointer> m_Models; // by path, device, mixed precision
};

/** Whether every feature is a number. */
bool allFinite(const at::Tensor & layer);

/** What to say of a model that made something that is not a number. */
ModelError featuresNotFinite(const std::string & path);

} // namespace impact
