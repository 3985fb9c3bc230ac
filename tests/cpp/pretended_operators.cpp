#include "pretended_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <set>
#include <string>

namespace pretended
{
namespace
{

thread_local int inOperator = 0; // whose own copies are no copies of the program's

/** As long as an operator runs. */
struct OperatorScope
{
  OperatorScope() { ++inOperator; }
  ~OperatorScope() { --inOperator; }
  OperatorScope(const OperatorScope &) = delete;
  OperatorScope & operator=(const OperatorScope &) = delete;
};

// Operators. Those that make views or move numbers are here; all others are run on copies of the CPU's.

at::Tensor
emptyTensor(c10::SymIntArrayRef             size,
            std::optional<at::ScalarType>   type,
            std::optional<at::Layout>       layout,
            std::optional<at::Device>       device,
            std::optional<bool>             pinned,
            std::optional<at::MemoryFormat> format)
{
  TORCH_CHECK(c10::layout_or_default(layout) == at::kStrided && !c10::pinned_memory_or_default(pinned),
              "pretended device: only strided tensors");
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size),
                                   &allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type),
                                   format);
}

at::Tensor
emptyStrided(c10::SymIntArrayRef           size,
             c10::SymIntArrayRef           stride,
             std::optional<at::ScalarType> type,
             std::optional<at::Layout>,
             std::optional<at::Device> device,
             std::optional<bool>)
{
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride),
                                           &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(type));
}

at::Tensor
copyFrom(const at::Tensor & source, const at::Tensor & target, bool withoutWaiting)
{
  const bool up = !isHere(source);
  const bool down = !isHere(target);
  Device &   device = deviceOf(up ? target : source);
  if (inOperator == 0)
  {
    if (up)
    {
      device.countUp(source);
    }
    else if (down)
    {
      device.countDown(source);
    }
    else
    {
      device.begin();
    }
    if ((up || down) && !withoutWaiting)
    {
      device.wait();
    }
    device.throwIfKnownLost();
    if (down && withoutWaiting)
    {
      device.arriveLater(target, opened(source).clone());
      return target;
    }
  }
  opened(target).copy_(opened(source));
  return target;
}

const at::Tensor &
resize(const at::Tensor & tensor, c10::SymIntArrayRef symbolic, std::optional<at::MemoryFormat> format)
{
  TORCH_CHECK(!format || *format == at::MemoryFormat::Contiguous, "pretended device: resize_ makes contiguous tensors");
  const auto   size = C10_AS_INTARRAYREF_SLOW(symbolic);
  auto * const implementation = tensor.unsafeGetTensorImpl();
  implementation->set_sizes_contiguous(size);
  const auto bytes = static_cast<std::size_t>(tensor.storage_offset() + tensor.numel()) * tensor.itemsize();
  const auto storage = tensor.storage();
  if (storage.nbytes() < bytes)
  {
    const c10::DeviceGuard guard(tensor.device());
    c10::DataPtr           larger = allocator().allocate(bytes);
    if (storage.nbytes() > 0)
    {
      allocator().copy_data(larger.get(), storage.data(), storage.nbytes());
    }
    storage.set_data_ptr_noswap(std::move(larger));
    storage.set_nbytes(bytes);
  }
  return tensor;
}

/** What a fallback computes with: the device's own numbers. */
std::vector<at::Tensor>
toCpu(at::TensorList tensors)
{
  std::vector<at::Tensor> result;
  for (const at::Tensor & tensor : tensors)
  {
    result.push_back(inOperator > 0 ? opened(tensor) : tensor.cpu());
  }
  return result;
}

at::Tensor
copyFromAndResize(const at::Tensor & source, const at::Tensor & target)
{
  if (target.sizes() != source.sizes())
  {
    target.resize_(source.sizes());
  }
  const bool isChangedInPlace = target.numel() > 0 && source.const_data_ptr() == opened(target).const_data_ptr();
  return isChangedInPlace ? target : copyFrom(source, target, false);
}

at::Scalar
numberOf(const at::Tensor & tensor)
{
  Device & device = deviceOf(tensor);
  device.countDown(tensor);
  device.wait();
  return opened(tensor).item();
}

at::Tensor &
setStorage(at::Tensor &        tensor,
           at::Storage         storage,
           c10::SymInt         offset,
           c10::SymIntArrayRef size,
           c10::SymIntArrayRef stride)
{
  auto * const implementation = tensor.unsafeGetTensorImpl();
  implementation->set_storage_keep_dtype(std::move(storage));
  implementation->set_sizes_and_strides(
    C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.expect_int());
  return tensor;
}

at::Tensor &
setWholeStorage(at::Tensor & tensor, at::Storage storage)
{
  const auto count = static_cast<std::int64_t>(storage.nbytes() / tensor.itemsize());
  return setStorage(tensor, std::move(storage), 0, c10::SymInt(count), c10::SymInt(1));
}

at::Tensor
view(const at::Tensor & tensor, c10::SymIntArrayRef size)
{
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}

at::Tensor
asStrided(const at::Tensor &         tensor,
          c10::SymIntArrayRef        size,
          c10::SymIntArrayRef        stride,
          std::optional<c10::SymInt> offset)
{
  return at::native::as_strided_tensorimpl(tensor,
                                           C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride),
                                           offset ? std::optional(offset->expect_int()) : std::nullopt);
}

at::Tensor
reshapeAlias(const at::Tensor & tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride)
{
  return at::native::_reshape_alias(tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

/** What an operator is about to compute with. \throws where that lies on more than one device */
Device &
checked(const std::string & name, c10::ArrayRef<at::Tensor> tensors)
{
  const at::Tensor * first = nullptr;
  for (const at::Tensor & tensor : tensors)
  {
    if (tensor.defined() && isHere(tensor) && !first)
    {
      first = &tensor;
    }
  }
  for (const at::Tensor & tensor : tensors)
  {
    if (first && tensor.defined() && tensor.device() != first->device())
    {
      TORCH_CHECK(tensor.device().is_cpu() && tensor.dim() == 0,
                  "Expected all tensors to be on the same device, but found at least two devices, ",
                  first->device(),
                  " and ",
                  tensor.device(),
                  "! (in ",
                  name,
                  ", a tensor of shape ",
                  tensor.sizes(),
                  ")");
    }
  }
  return first ? deviceOf(*first)
               : devices()[static_cast<std::size_t>(c10::impl::getDeviceGuardImpl(kind)->getDevice().index())];
}

void
collect(const c10::IValue & value, std::vector<at::Tensor> & tensors)
{
  if (value.isTensor())
  {
    tensors.push_back(value.toTensor());
  }
  else if (value.isList())
  {
    for (const c10::IValue & element : value.toListRef())
    {
      collect(element, tensors);
    }
  }
}

/** Whether the shape of an operator's result is in the numbers that it computes with, so that the host waits. */
bool
waits(const std::string & name, c10::ArrayRef<at::Tensor> tensors)
{
  static const std::set<std::string> names{ "aten::nonzero",    "aten::masked_select",
                                            "aten::unique_dim", "aten::_unique",
                                            "aten::_unique2",   "aten::unique_consecutive",
                                            "aten::equal",      "aten::is_nonzero",
                                            "aten::bincount",   "aten::repeat_interleave" };
  static const std::set<std::string> ofMasks{ "aten::index", "aten::index_put_", "aten::_index_put_impl_" };
  return names.count(name) > 0 ||
         (ofMasks.count(name) > 0 && std::any_of(tensors.begin() + 1, tensors.end(), [](const at::Tensor & tensor) {
            return tensor.defined() && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte);
          }));
}

void
onTheCpu(const c10::OperatorHandle & op, torch::jit::Stack * stack)
{
  const std::string       name = op.schema().name();
  std::vector<at::Tensor> tensors;
  for (const c10::IValue & argument : torch::jit::last(*stack, op.schema().arguments().size()))
  {
    collect(argument, tensors);
  }
  Device & device = checked(name, tensors);
  device.begin();
  if (waits(name, tensors))
  {
    device.wait();
  }
  const OperatorScope scope;
  at::native::cpu_fallback(op, stack);
}

at::Tensor
convolution(const at::Tensor &                input,
            const at::Tensor &                weight,
            const std::optional<at::Tensor> & bias,
            c10::SymIntArrayRef               stride,
            c10::SymIntArrayRef               padding,
            c10::SymIntArrayRef               dilation,
            bool                              transposed,
            c10::SymIntArrayRef               outputPadding,
            c10::SymInt                       groups)
{
  checked("aten::convolution", { input, weight, bias.value_or(at::Tensor()) }).begin();
  const OperatorScope scope;
  const at::Tensor    ofBias = bias ? opened(*bias) : at::Tensor();
  return at::convolution_symint(opened(input),
                                opened(weight),
                                ofBias,
                                stride,
                                padding,
                                dilation,
                                transposed,
                                outputPadding,
                                std::move(groups))
    .to(input.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor>
convolutionBackward(const at::Tensor &  gradient,
                    const at::Tensor &  input,
                    const at::Tensor &  weight,
                    c10::SymIntArrayRef stride,
                    c10::SymIntArrayRef padding,
                    c10::SymIntArrayRef dilation,
                    bool                transposed,
                    c10::SymIntArrayRef outputPadding,
                    c10::SymInt         groups,
                    std::array<bool, 3> wanted)
{
  checked("aten::convolution_backward", { gradient, input, weight }).begin();
  const OperatorScope scope;
  const c10::SymInt   channels = gradient.sym_size(1);
  const auto [ofInput, ofWeight, ofBias] = at::convolution_backward_symint(opened(gradient),
                                                                           opened(input),
                                                                           opened(weight),
                                                                           c10::SymIntArrayRef(channels),
                                                                           stride,
                                                                           padding,
                                                                           dilation,
                                                                           transposed,
                                                                           outputPadding,
                                                                           std::move(groups),
                                                                           wanted);
  const auto up = [&](const at::Tensor & tensor) { return tensor.defined() ? tensor.to(input.device()) : tensor; };
  return { up(ofInput), up(ofWeight), up(ofBias) };
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library)
{
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&onTheCpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library)
{
  library.impl("empty.memory_format", &emptyTensor);
  library.impl("empty_strided", &emptyStrided);
  library.impl("_copy_from", &copyFrom);
  library.impl("_copy_from_and_resize", &copyFromAndResize);
  library.impl("_to_cpu", &toCpu);
  library.impl("_local_scalar_dense", &numberOf);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage", &setWholeStorage);
  library.impl("set_.source_Storage_storage_offset", &setStorage);
  library.impl("view", &view);
  library.impl("as_strided", &asStrided);
  library.impl("_reshape_alias", &reshapeAlias);
  library.impl("unfold", &at::native::unfold);
  library.impl("convolution_overrideable", &convolution);
  library.impl("convolution_backward_overrideable", &convolutionBackward);
}

// Copies know tensors that are to be read as conjugate or negative.
TORCH_LIBRARY_IMPL(aten, Conjugate, library)
{
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, Negative, library)
{
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

// In half precision: what networks spend their time in.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library)
{
  library.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) // so torch's macros call it
{
  using namespace at::autocast; // whose names they use
  KERNEL_PRIVATEUSEONE(_convolution, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv3d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
}

} // namespace
} // namespace pretended
