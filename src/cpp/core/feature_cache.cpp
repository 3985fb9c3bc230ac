#include "feature_cache.h"

#include "error.h"
#include "kernels/processor.h"
#include "workers.h"

#include <c10/util/hash.h>
#include <torch/version.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace impact
{
namespace
{

// To be raised whenever the same image and settings give other maps than before, or the file is another.
constexpr std::int32_t version = 1;

constexpr std::array<char, 16> magic{ "IMPACT features" };
constexpr std::size_t          alignment = 4096; // of the rows in the file

/** What a file begins with, followed by a LayerHeader for each map. */
struct Header
{
  std::array<char, 16> magic{};
  std::int64_t         numberOfMaps{};
  std::int64_t         bytes{}; // of the whole file
};

struct LayerHeader
{
  std::int64_t rows{};
  std::int64_t channels{};
  std::int64_t offset{}; // of the rows in the file, bytes
  Grid         grid;
};
static_assert(std::is_trivially_copyable_v<LayerHeader>);

/** SHA-1 of bytes, in blocks over the threads: of the blocks' own sums, one after the other. */
std::string
sumOf(const void * bytes, std::size_t count)
{
  constexpr std::size_t    block = std::size_t{ 1 } << 20;
  const auto * const       first = static_cast<const char *>(bytes);
  std::vector<std::string> sums((count + block - 1) / block);
  inParallel(static_cast<std::int64_t>(sums.size()), [&](std::int64_t i) {
    const std::size_t begin = static_cast<std::size_t>(i) * block;
    sums[static_cast<std::size_t>(i)] = c10::sha1(std::string(first + begin, std::min(block, count - begin))).str();
  });
  std::string all;
  for (const std::string & sum : sums)
  {
    all += sum;
  }
  return c10::sha1(all + std::to_string(count)).str();
}

std::string
sumOf(const at::Tensor & tensor)
{
  const at::Tensor here = tensor.cpu().contiguous();
  return sumOf(here.const_data_ptr(), here.nbytes());
}

std::string
sumOfFile(const std::string & path)
{
  std::ifstream     file(path, std::ios::binary);
  std::vector<char> bytes(std::filesystem::file_size(path));
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return sumOf(bytes.data(), bytes.size());
}

/** Everything that the maps depend on, as text. */
std::string
keyOf(const Model & model, const ModelSettings & settings, const ModelInput & input)
{
  std::ostringstream text;
  text << std::hexfloat << "version " << version << " torch " << TORCH_VERSION << " processor " << processorName()
       << " device " << input.voxels.device().type() << " model "
       << model.fileSum([&] { return sumOfFile(model.path()); }) << " dimension " << settings.dimension << " channels "
       << settings.numberOfChannels << " mask ";
  for (const bool selected : settings.layersMask)
  {
    text << selected;
  }
  for (const std::int64_t size : settings.patchSize)
  {
    text << " tile " << size;
  }
  const Grid & grid = input.grid;
  for (std::size_t axis = 0; axis < 3; ++axis)
  {
    text << " size " << grid.size[axis] << " spacing " << grid.spacing[axis] << " origin " << grid.origin[axis];
    for (const double cosine : grid.direction[axis])
    {
      text << " direction " << cosine;
    }
  }
  text << " voxels " << sumOf(input.voxels) << " statistics " << sumOf(input.context.statistics) << " axes "
       << sumOf(input.context.direction);
  return text.str();
}

/** A file mapped into memory; rows of it may be written to, which changes the file nowhere. */
class MappedFile
{
public:
  explicit MappedFile(const std::string & path)
  {
    const int   file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    if (file >= 0 && ::fstat(file, &status) == 0 && status.st_size > static_cast<off_t>(sizeof(Header)))
    {
      m_Size = static_cast<std::size_t>(status.st_size);
      void * const memory = ::mmap(nullptr, m_Size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
      m_Memory = memory == MAP_FAILED ? nullptr : static_cast<char *>(memory);
      ::futimens(file, nullptr); // used: the oldest are the ones to delete
    }
    if (file >= 0)
    {
      ::close(file);
    }
  }
  ~MappedFile()
  {
    if (m_Memory)
    {
      ::munmap(m_Memory, m_Size);
    }
  }
  MappedFile(const MappedFile &) = delete;
  MappedFile & operator=(const MappedFile &) = delete;

  char *
  memory() const
  {
    return m_Memory;
  }

  std::size_t
  size() const
  {
    return m_Size;
  }

private:
  char *      m_Memory{ nullptr };
  std::size_t m_Size{ 0 };
};

/** \return nothing where there is no such file, or none of ours */
std::vector<FeatureMap>
read(const std::string & path, at::Device device)
{
  const auto file = std::make_shared<MappedFile>(path);
  if (!file->memory())
  {
    return {};
  }
  Header header;
  std::memcpy(&header, file->memory(), sizeof(header));
  if (header.magic != magic || header.bytes != static_cast<std::int64_t>(file->size()) || header.numberOfMaps < 1 ||
      header.numberOfMaps >
        (header.bytes - static_cast<std::int64_t>(sizeof(header))) / static_cast<std::int64_t>(sizeof(LayerHeader)))
  {
    return {};
  }
  std::vector<FeatureMap> maps;
  for (std::int64_t i = 0; i < header.numberOfMaps; ++i)
  {
    LayerHeader layer;
    std::memcpy(
      &layer, file->memory() + sizeof(header) + static_cast<std::size_t>(i) * sizeof(LayerHeader), sizeof(layer));
    const auto room = header.bytes - layer.offset;
    if (layer.rows < 1 || layer.channels < 1 || layer.offset < 0 || room < 0 ||
        layer.channels > room / static_cast<std::int64_t>(sizeof(float)) / layer.rows)
    {
      return {};
    }
    const at::Tensor rows = at::from_blob(
      file->memory() + layer.offset, { layer.rows, layer.channels }, [file](void *) {}, at::dtype(at::kFloat));
    maps.push_back({ rows.to(device), layer.grid });
  }
  return maps;
}

/** Writes whole files under names of their own, to be given the final one at the end. */
class NewFile
{
public:
  explicit NewFile(const std::string & finalPath)
    : m_Final(finalPath)
    , m_Path(finalPath + ".XXXXXX")
    , m_File(::mkostemp(m_Path.data(), O_CLOEXEC))
  {}
  ~NewFile()
  {
    if (m_File >= 0)
    {
      ::close(m_File);
      ::unlink(m_Path.c_str()); // gone already where finish() was reached
    }
  }
  NewFile(const NewFile &) = delete;
  NewFile & operator=(const NewFile &) = delete;

  bool
  write(const void * bytes, std::size_t count, std::int64_t offset) const
  {
    const auto * at = static_cast<const char *>(bytes);
    while (m_File >= 0 && count > 0)
    {
      const ssize_t written = ::pwrite(m_File, at, count, offset);
      if (written < 0 && errno != EINTR)
      {
        return false;
      }
      const std::int64_t done = std::max<ssize_t>(0, written);
      at += done;
      offset += done;
      count -= static_cast<std::size_t>(done);
    }
    return m_File >= 0;
  }

  bool
  finish() const
  {
    return ::rename(m_Path.c_str(), m_Final.c_str()) == 0;
  }

private:
  std::string m_Final;
  std::string m_Path;
  int         m_File;
};

/** \return why not, empty for success */
std::string
write(const std::string & folder, const std::string & path, const std::vector<FeatureMap> & maps)
{
  const auto aligned = [](std::int64_t offset) {
    constexpr auto step = static_cast<std::int64_t>(alignment);
    return (offset + step - 1) / step * step;
  };
  std::vector<LayerHeader> layers;
  auto                     offset = static_cast<std::int64_t>(sizeof(Header) + maps.size() * sizeof(LayerHeader));
  for (const FeatureMap & map : maps)
  {
    offset = aligned(offset);
    layers.push_back({ map.rows.size(0), map.rows.size(1), offset, map.grid });
    offset += map.rows.size(0) * map.rows.size(1) * static_cast<std::int64_t>(sizeof(float));
  }
  const Header header{ magic, static_cast<std::int64_t>(maps.size()), offset };

  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) == 0 &&
      static_cast<double>(offset) > 0.9 * static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize))
  {
    return "its disk has too little room";
  }
  const NewFile file(path);
  errno = 0;
  bool written = file.write(&header, sizeof(header), 0) &&
                 file.write(layers.data(), layers.size() * sizeof(LayerHeader), sizeof(header));
  for (std::size_t i = 0; i < maps.size(); ++i)
  {
    const at::Tensor rows = maps[i].rows.cpu().contiguous();
    written = written && file.write(rows.const_data_ptr(), rows.nbytes(), layers[i].offset);
  }
  return written && file.finish() ? std::string() : std::string(std::strerror(errno));
}

} // namespace

std::optional<FeatureCache>
FeatureCache::ofEnvironment()
{
  const char * const folder = std::getenv("IMPACT_FEATURE_CACHE");
  if (!folder || !*folder)
  {
    return std::nullopt;
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder) || ::access(folder, R_OK | W_OK | X_OK) != 0)
  {
    throw Error(
      "The environment variable IMPACT_FEATURE_CACHE is \"" + std::string(folder) +
      "\", which is no folder that can be written. Allowed: such a folder, or one that can be made; or unset.");
  }
  return FeatureCache(folder);
}

FeatureCache::FeatureCache(std::string folder)
  : m_Folder(std::move(folder))
{}

FeatureCache::Maps
FeatureCache::get(const Model &                                    model,
                  const ModelSettings &                            settings,
                  const ModelInput &                               input,
                  const std::function<std::vector<FeatureMap>()> & make) const
{
  const std::string path = m_Folder + "/" + c10::sha1(keyOf(model, settings, input)).str() + ".features";
  Maps              result{ read(path, input.voxels.device()), true, {} };
  if (result.maps.empty())
  {
    result = { make(), false, {} };
    if (const std::string reason = write(m_Folder, path, result.maps); !reason.empty())
    {
      result.notKept = "feature maps are not kept in IMPACT_FEATURE_CACHE, \"" + m_Folder + "\": " + reason + ".";
    }
  }
  return result;
}

} // namespace impact
