#pragma once

#include "impact/runtime/torch_headers.h"

namespace impact
{

/** The directions in which features vary most: a mean and an orthonormal basis, fitted once and applied to the features
 * of both images. */
class PrincipalComponents
{
public:
  /** \param rows samples x channels, of the fixed image; of very many, evenly spaced ones are used
   * \param count how many components to keep, at most the number of channels */
  static PrincipalComponents fit(const at::Tensor & rows, std::int64_t count);

  /** samples x channels to samples x components, in the same precision; differentiable. */
  at::Tensor apply(const at::Tensor & rows) const;

private:
  at::Tensor m_Mean;  // channels, double
  at::Tensor m_Basis; // channels x components, double
};

} // namespace impact
