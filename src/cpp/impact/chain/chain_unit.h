#pragma once

#include "impact/api/layout.h"
#include "impact/chain/chain_description.h"
#include "impact/chain/chain_kernels.h"
#include "impact/chain/chain_workspace.h"
#include "impact/chain/spectrum.h"

#include <map>
#include <memory>
#include <mutex>

namespace impact
{

/** One unit of a chain, ready to run. Channels are padded with empty ones to a multiple of 32; the first unit of a
 * chain may see one channel. Thread-safe. */
class ConvolutionUnit
{
public:
  using Size = std::array<std::int64_t, 3>; // along x, y, z

  /** \param isFirst the input is one channel, which stands for all that the weights are made for */
  ConvolutionUnit(const ChainUnit & unit, bool isFirst);

  /** Zero or less where the input is too small. */
  Size outputSize(const Size & input) const;

  /** From where the voxels of the input lie in an image, and what they depend on, makes the same of the output. */
  void extend(LayerLayout & layout) const;

  std::int64_t
  channels() const
  {
    return m_Channels;
  }

  /** Of the input, as it is to be padded. */
  std::int64_t
  inputChannels() const
  {
    return m_In;
  }

  std::int64_t
  paddedChannels() const
  {
    return m_Out;
  }

  /** Whether scale and shift come from each volume. */
  bool
  isNormalizedByInstance() const
  {
    return m_Unit.normalization == ChainUnit::Normalization::Instance;
  }

  /** Whether the unit is so quick that its output is made anew rather than kept. */
  bool
  isQuick() const
  {
    return m_Kind == Kind::Single;
  }

  /** How many slices of input, at most, before and after the one that it is at, a slice of output depends on. */
  std::int64_t
  reach() const
  {
    return m_Unit.dilation[2] * (m_Unit.kernel[2] - 1);
  }

  /** Part of a volume, in slices. */
  struct Slices
  {
    std::int64_t begin;
    std::int64_t end;
  };

  /** Which slices of input these slices of output are made from. */
  Slices inputSlices(const Size & size, const Slices & output) const;

  /** Volumes that lie one after the other, to be convolved. */
  struct Volumes
  {
    const float *      input;
    const ChannelMap * maps; // one per volume, applied to the input on the way in; null: as it is
    std::int64_t       count;
    Size               size; // of the whole input
    float *            output;
  };

  void forward(const Volumes & volumes, const TaskLoop & loop) const;

  /** Convolves some slices of one volume.
   *
   * \param volumes one; input points to the first of inputSlices(), output to the first of those slices */
  void forwardSlices(const Volumes & volumes, const Slices & slices, const TaskLoop & loop) const;

  /** Makes what backward() needs, where that is not there yet: not to be called from within a task. */
  void prepareBackward() const;

  /** The gradient with respect to the input as the convolution saw it, maps applied; after prepareBackward().
   *
   * \param size of the input
   * \param gradient with respect to the output; overwritten nowhere */
  void backward(const float *    gradient,
                std::int64_t     count,
                const Size &     size,
                float *          inputGradient,
                const TaskLoop & loop) const;

  Moments momentsOf(const float * output, std::int64_t voxels) const;

  /** What becomes of one volume of output on the way to the next unit: from its moments, where normalised by instance.
   *
   * \param storage room for 4 x paddedChannels() floats, which the map points to */
  ChannelMap mapFrom(const Moments & moments, float * storage) const;

  /** The same, from the voxels themselves. */
  ChannelMap mapOf(const float * output, std::int64_t voxels, float * storage, ChainWorkspace & workspace) const;

private:
  static constexpr std::int64_t channelBlock = 32;
  static constexpr std::int32_t tileLength = 8;
  static constexpr std::int64_t fewVoxels = 4000; // for which transforming the weights takes longer than the products
  static constexpr std::int64_t mostBytes = std::int64_t{ 1 } << 28; // of the weights of a transformed convolution

  /** What the weights of transforms of a length take, about. */
  std::int64_t
  bytesOfSpectrum(std::int64_t length) const
  {
    return length * length * length * m_In * m_Out * static_cast<std::int64_t>(sizeof(float));
  }

  enum class Kind
  {
    Spectral, // 3 voxels along each axis, in steps of one, edges padded with zeros
    Single,   // of one channel, in steps of one
    General
  };

  struct Spectrum
  {
    SpectrumShape shape;
    FloatBuffer   numbers;
    const float * weights{ nullptr }; // null: not yet made
  };

  const Spectrum & spectrum(const Size & size, bool backward) const;

  /** Some slices of some volumes: what there is of the input, and what is wanted of the output. */
  struct Work
  {
    Volumes volumes;
    Slices  from;   // the slices of each volume that lie in the input
    Slices  slices; // those that the output has room for
  };

  void convolve(const Work & work, const TaskLoop & loop) const;
  void convolveSpectrally(const Work & work, bool backward, const TaskLoop & loop) const;
  void forwardSingle(const Work & work, const TaskLoop & loop) const;
  void forwardGenerally(const Work & work, const TaskLoop & loop) const;
  void
  backwardSingle(const float * gradient, const Size & size, float * inputGradient, ChainWorkspace & workspace) const;
  void
  backwardGenerally(const float * gradient, const Size & size, float * inputGradient, ChainWorkspace & workspace) const;

  /** Whether VolumeKernels::convolveSmall does volumes of this size. */
  bool      isSmall(const Size & size) const;
  SmallPlan smallPlan(const Size & size) const;

  /** The voxels of input that meet the same taps on the way back: from the first, every stride-th along each axis. */
  struct Phase
  {
    Size                     first;
    std::vector<std::size_t> taps;
    std::ptrdiff_t           weights; // where theirs begin
  };

  /** Finds the phases, and lays the weights of each side by side. */
  void makePhases() const;

  Size                        paddedSize(const Size & size) const;
  std::vector<std::ptrdiff_t> tapOffsets(const Size & padded) const;

  ChainUnit    m_Unit;
  std::int64_t m_Channels;
  std::int64_t m_In;  // 1, or padded
  std::int64_t m_Out; // padded
  std::int64_t m_Taps;
  Kind         m_Kind;
  at::Tensor   m_Weights; // taps x in x out
  at::Tensor   m_Bias;    // out; undefined: none
  at::Tensor   m_Scale;   // out, of the normalisation
  at::Tensor   m_Shift;

  std::vector<Size> m_TapPlaces; // where each tap is, from the first, in voxels of input

  // Of the way back; a General one's are made when they are first wanted.
  mutable std::once_flag     m_PhasesMade;
  mutable std::vector<Phase> m_Phases;
  mutable at::Tensor         m_TransposedWeights; // taps, phase by phase, x out x in padded; Single: out x taps padded

  mutable std::mutex                                                       m_Mutex;
  mutable std::map<std::pair<std::array<std::int32_t, 3>, bool>, Spectrum> m_Spectra;
};

inline std::int64_t
voxelsOf(const ConvolutionUnit::Size & size)
{
  return size[0] * size[1] * size[2];
}

} // namespace impact
