#include "impact/features/feature_cache.h"

#include "impact/base/error.h"
#include "impact/base/workers.h"
#include "impact/kernels/processor.h"

#include <c10/util/hash.h>
#include <torch/version.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace impact
{
namespace
{

// To be raised whenever the same image and settings give other maps than before, or the file is another.
constexpr std::int32_t version = 2;

constexpr std::array<char, 16> magic{ "IMPACT features" };
constexpr std::size_t          alignment = 4096; // of the rows in the file

/** What a file begins with, followed by a LayerHeader for each map. */
struct Header
{
  std::array<char, 16> magic{};
  std::int64_t         numberOfMaps{};
  std::int64_t         bytes{}; // of the whole file
  std::uint64_t        sum{};   // wordSum of the headers of the layers
};

/** Without gaps, which would hold whatever was in memory. */
struct LayerHeader
{
  std::int64_t                rows{};
  std::int64_t                channels{};
  std::int64_t                offset{}; // of the rows in the file, bytes
  std::uint64_t               sum{};    // wordSum of the rows
  std::int64_t                dimension{};
  std::array<std::int64_t, 3> size{};
  Vector                      spacing{};
  Vector                      origin{};
  Matrix                      direction{};
};
static_assert(std::is_trivially_copyable_v<LayerHeader> && sizeof(Header) == 40 && sizeof(LayerHeader) == 23 * 8);

/** Tells bytes from such as were changed by accident, at the pace of memory: the sum of 32-bit words, each multiplied
 * by an odd number of its place, modulo 2^64. */
std::uint64_t
wordSum(const void * bytes, std::size_t count)
{
  constexpr std::size_t      block = std::size_t{ 1 } << 18;
  const auto * const         first = static_cast<const char *>(bytes);
  const std::size_t          words = count / sizeof(std::uint32_t);
  std::vector<std::uint64_t> sums((words + block - 1) / block);
  inParallel(static_cast<std::int64_t>(sums.size()), [&](std::int64_t number) {
    std::uint64_t     sum = 0;
    const std::size_t begin = static_cast<std::size_t>(number) * block;
    for (std::size_t i = begin; i < std::min(words, begin + block); ++i)
    {
      std::uint32_t word = 0;
      std::memcpy(&word, first + i * sizeof(word), sizeof(word));
      sum += word * (i * 0x9E3779B97F4A7C15U | 1U);
    }
    sums[static_cast<std::size_t>(number)] = sum;
  });
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{ 0 });
}

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
       << model.memory().fileSums.of(model.path(), [&] { return sumOfFile(model.path()); }) << " dimension "
       << settings.dimension << " channels " << settings.numberOfChannels << " mask ";
  for (const bool selected : settings.layersMask)
  {
    text << selected;
  }
  if (settings.featureNormalization != FeatureNormalization::None)
  {
    text << " normalization " << toString(settings.featureNormalization);
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
        (header.bytes - static_cast<std::int64_t>(sizeof(header))) / static_cast<std::int64_t>(sizeof(LayerHeader)) ||
      wordSum(file->memory() + sizeof(header), static_cast<std::size_t>(header.numberOfMaps) * sizeof(LayerHeader)) !=
        header.sum)
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
    const Grid grid{ static_cast<int>(layer.dimension), layer.size, layer.spacing, layer.origin, layer.direction };
    if (layer.rows < 1 || layer.channels < 1 || layer.offset < 0 || room < 0 ||
        layer.offset % static_cast<std::int64_t>(alignment) != 0 || layer.rows != grid.numberOfVoxels() ||
        layer.channels > room / static_cast<std::int64_t>(sizeof(float)) / layer.rows)
    {
      return {};
    }
    char * const     place = file->memory() + layer.offset;
    const at::Tensor rows =
      at::from_blob(place, { layer.rows, layer.channels }, [file](void *) {}, at::dtype(at::kFloat));
    if (wordSum(place, rows.nbytes()) != layer.sum)
    {
      return {};
    }
    maps.push_back({ rows.to(device), grid });
  }
  return maps;
}

constexpr const char * unfinished = ".unfinished-"; // in the names of files that are being written

/** Writes whole files under names of their own, to be given the final one at the end; locked as long as they are
 * written. */
class NewFile
{
public:
  explicit NewFile(const std::string & finalPath)
    : m_Final(finalPath)
    , m_Path(finalPath + unfinished + std::to_string(std::random_device{}()))
    , m_File(::open(m_Path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666))
  {
    if (m_File >= 0)
    {
      ::flock(m_File, LOCK_EX | LOCK_NB);
    }
  }
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

/** Deletes what processes left that ended while they wrote: such files are a minute old, and nobody locks them. */
void
removeUnfinished(const std::string & folder)
{
  std::error_code error;
  for (const auto & entry : std::filesystem::directory_iterator(folder, error))
  {
    const std::string path = entry.path().string();
    struct stat       status{};
    if (path.find(unfinished) == std::string::npos || ::stat(path.c_str(), &status) != 0 ||
        std::time(nullptr) - status.st_mtime < 60)
    {
      continue;
    }
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file >= 0 && ::flock(file, LOCK_EX | LOCK_NB) == 0)
    {
      ::unlink(path.c_str());
    }
    if (file >= 0)
    {
      ::close(file);
    }
  }
}

/** \return why not, empty for success */
std::string
write(const std::string & folder, const std::string & path, const std::vector<FeatureMap> & maps)
{
  const auto aligned = [](std::int64_t offset) {
    constexpr auto step = static_cast<std::int64_t>(alignment);
    return (offset + step - 1) / step * step;
  };
  removeUnfinished(folder);
  std::vector<LayerHeader> layers;
  std::vector<at::Tensor>  rows;
  auto                     offset = static_cast<std::int64_t>(sizeof(Header) + maps.size() * sizeof(LayerHeader));
  for (const FeatureMap & map : maps)
  {
    offset = aligned(offset);
    rows.push_back(map.rows.cpu().contiguous());
    const Grid & grid = map.grid;
    layers.push_back({ map.rows.size(0),
                       map.rows.size(1),
                       offset,
                       wordSum(rows.back().const_data_ptr(), rows.back().nbytes()),
                       grid.dimension,
                       grid.size,
                       grid.spacing,
                       grid.origin,
                       grid.direction });
    offset += static_cast<std::int64_t>(rows.back().nbytes());
  }
  const Header header{
    magic, static_cast<std::int64_t>(maps.size()), offset, wordSum(layers.data(), layers.size() * sizeof(LayerHeader))
  };

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
    written = written && file.write(rows[i].const_data_ptr(), rows[i].nbytes(), layers[i].offset);
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
    throw Error("The environment variable IMPACT_FEATURE_CACHE is \"" + std::string(folder) +
                  "\", which is no folder that can be written.",
                "Allowed: such a folder, or one that can be made; or unset.");
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
