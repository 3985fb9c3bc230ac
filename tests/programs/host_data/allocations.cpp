// To be loaded before all else (LD_PRELOAD): keeps the size of each object made with new in front of it.

#include <cstddef>
#include <cstdlib>
#include <new>

namespace
{

constexpr std::size_t header = alignof(std::max_align_t);

void *
allocate(std::size_t size) noexcept
{
  auto * const memory = static_cast<char *>(std::malloc(size + header));
  if (!memory)
  {
    return nullptr;
  }
  *reinterpret_cast<std::size_t *>(memory) = size;
  return memory + header;
}

void *
allocateOrThrow(std::size_t size)
{
  if (void * const memory = allocate(size))
  {
    return memory;
  }
  throw std::bad_alloc();
}

void
release(void * object) noexcept
{
  if (object)
  {
    std::free(static_cast<char *>(object) - header);
  }
}

} // namespace

/** The size that was asked for. \param object what new has returned */
extern "C" std::size_t
allocatedSize(const void * object)
{
  return *reinterpret_cast<const std::size_t *>(static_cast<const char *>(object) - header);
}

// clang-format off
void * operator new(std::size_t size) { return allocateOrThrow(size); }
void * operator new[](std::size_t size) { return allocateOrThrow(size); }
void * operator new(std::size_t size, const std::nothrow_t &) noexcept { return allocate(size); }
void * operator new[](std::size_t size, const std::nothrow_t &) noexcept { return allocate(size); }
void operator delete(void * object) noexcept { release(object); }
void operator delete[](void * object) noexcept { release(object); }
void operator delete(void * object, std::size_t) noexcept { release(object); }
void operator delete[](void * object, std::size_t) noexcept { release(object); }
void operator delete(void * object, const std::nothrow_t &) noexcept { release(object); }
void operator delete[](void * object, const std::nothrow_t &) noexcept { release(object); }
// clang-format on
