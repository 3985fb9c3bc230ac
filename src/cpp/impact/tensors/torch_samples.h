#pragma once

#include "impact/api/similarity.h"
#include "impact/tensors/torch_grid.h"
#include "impact/tensors/torch_transform.h"

#include <optional>

namespace impact
{

/** The samples of an evaluation on a device: those that the transform maps inside the moving image and its mask.
 *
 * At an evaluation the transform goes up, and the sample points where they are new. The device is waited for once, to
 * know how many samples there are. */
class TorchSamples
{
public:
  TorchSamples(const DeviceGeometry & geometry, const Grid & moving, at::Device device);

  /** Maps the samples. */
  void set(const DeviceEvaluation & evaluation);

  std::int64_t
  count() const
  {
    return m_Fixed.size(0);
  }

  /** N x 3, physical, mm, double. */
  const at::Tensor &
  fixed() const
  {
    return m_Fixed;
  }
  const at::Tensor &
  moving() const
  {
    return m_Moving;
  }

  const TorchTransform &
  transform() const
  {
    return *m_Transform;
  }

  /** Adds up what gradients with respect to mapped points, N x 3, are with respect to the transform's parameters. */
  void addGradients(const at::Tensor & points, const at::Tensor & gradients, at::Tensor & sums) const;

  /** Brings a value, sums of addGradients() and what else there is down in one piece: the only other time that the
   * device is waited for.
   *
   * \param sums undefined: none
   * \param more numbers that \p takeMore is given, one axis; undefined: none */
  DeviceResult bringDown(const at::Tensor &                          value,
                         const at::Tensor &                          sums,
                         const at::Tensor &                          more = {},
                         const std::function<void(const double *)> & takeMore = {}) const;

private:
  at::Device                    m_Device;
  TorchGrid                     m_MovingGrid;
  at::Tensor                    m_GradientScale; // 3 x 3, transposed; undefined: none
  std::optional<TorchGrid>      m_MaskGrid;
  at::Tensor                    m_Mask; // of its voxels, bool
  at::Tensor                    m_All;  // the sampler's points
  std::optional<TorchTransform> m_Transform;
  at::Tensor                    m_Fixed;
  at::Tensor                    m_Moving;
};

} // namespace impact
