#pragma once

#include "impact/runtime/torch_headers.h"

#include <array>
#include <cstdint>
#include <optional>

namespace impact
{

/** The descriptor MIND-SSC, as impact_plugin.models.mind() writes it, by our own kernels: of whole images on the CPU,
 * the same bits as by torch, a block of lines at a time, where torch goes through memory with each operation.
 *
 * Radius and dilation are read from the file. Formula and order of operations are not: what a file makes is to be
 * compared with this. */
class Mind
{
public:
  /** What a module says it is; nothing where it says no such thing. */
  static std::optional<Mind> of(const torch::jit::Module & module);

  int
  dimension() const
  {
    return m_Dimension;
  }

  /** \param images N x 1 x (z) x y x x, float
   * \return N x channels x (z) x y x x, channels side by side in memory */
  at::Tensor operator()(const at::Tensor & images) const;

  /** What that takes for one image of `size` (x, y, z), with the image itself. */
  std::int64_t bytesOf(const std::array<std::int64_t, 3> & size) const;

private:
  Mind() = default;

  std::int64_t
  channels() const
  {
    return 2 * m_Dimension * (m_Dimension - 1);
  }

  void ofImage(const at::Tensor & image, float * to) const;

  std::int64_t m_Radius{ 1 };
  std::int64_t m_Dilation{ 2 };
  int          m_Dimension{ 3 };
};

} // namespace impact
