#include "impact/compare/principal_components.h"

#include "impact/base/error.h"
#include "impact/runtime/torch_tasks.h"

namespace impact
{

PrincipalComponents
PrincipalComponents::fit(const at::Tensor & rows, std::int64_t count)
{
  if (count > rows.size(1))
  {
    throw ParameterError("PCA",
                         std::to_string(count) + " components are not allowed for a layer of " +
                           std::to_string(rows.size(1)) + " channels.",
                         "Allowed: 0 to " + std::to_string(rows.size(1)) + ".",
                         Problem::Kind::Value);
  }
  constexpr std::int64_t enough = 200000;
  const std::int64_t     step = std::max<std::int64_t>(1, rows.size(0) / enough);
  const at::Tensor       used = rows.detach().slice(0, 0, rows.size(0), step).to(at::kCPU, at::kDouble);

  PrincipalComponents result;
  result.m_Mean = used.mean(0);
  const at::Tensor centred = used - result.m_Mean;
  const auto [values, vectors] = at::linalg_eigh(at::matmul(centred.t(), centred));

  // Eigenvalues ascend. The sign of a direction is arbitrary: its largest entry is made positive.
  at::Tensor       basis = vectors.flip(1).narrow(1, 0, count).contiguous();
  const at::Tensor largest = basis.gather(0, basis.abs().argmax(0, true));
  result.m_Basis = (basis * largest.sign()).to(rows.device());
  result.m_Mean = result.m_Mean.to(rows.device());
  return result;
}

at::Tensor
PrincipalComponents::apply(const at::Tensor & rows) const
{
  // In parts, so that a whole feature map does not stand in memory in double precision.
  constexpr std::int64_t perPart = std::int64_t{ 1 } << 14;
  const auto             inComponents = [this, &rows](const at::Tensor & part) {
    return at::matmul(part.to(at::kDouble) - m_Mean, m_Basis).to(rows.scalar_type());
  };
  if (at::GradMode::is_enabled() || !rows.is_cpu())
  {
    std::vector<at::Tensor> parts;
    for (const at::Tensor & part : rows.split(perPart))
    {
      parts.push_back(inComponents(part));
    }
    return at::cat(parts);
  }
  at::Tensor result = at::empty({ rows.size(0), m_Basis.size(1) }, rows.options());
  torchInPieces(rows.size(0), perPart, [&](std::int64_t first, std::int64_t number) {
    result.narrow(0, first, number).copy_(inComponents(rows.narrow(0, first, number)));
  });
  return result;
}

} // namespace impact
