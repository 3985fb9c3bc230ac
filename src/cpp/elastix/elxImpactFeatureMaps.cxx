#include "elxImpactFeatureMaps.h"

#include "impact/base/error.h"
#include "impactGridOf.h"

#include "itkImageFileWriter.h"
#include "itkMetaImageIO.h"
#include "itkVectorImage.h"

#include <filesystem>
#include <fstream>

namespace elastix
{
namespace
{

template <unsigned int VDimension>
void
Write(const std::string & path, const impact::MapToWrite & map)
{
  using ImageType = itk::VectorImage<float, VDimension>;
  const auto image = ImageType::New();
  impact::SetGrid(*image, map.grid);
  image->SetVectorLength(static_cast<unsigned int>(map.channels));
  // Only read, and only while this function runs.
  image->GetPixelContainer()->SetImportPointer(
    const_cast<float *>(map.pixels), static_cast<std::size_t>(map.grid.numberOfVoxels() * map.channels), false);

  const auto writer = itk::ImageFileWriter<ImageType>::New();
  writer->SetImageIO(itk::MetaImageIO::New());
  writer->SetFileName(path);
  writer->SetInput(image);
  writer->Update();
}

} // namespace

void
PrepareFeatureMapsFolder(impact::LevelSettings &        settings,
                         const std::string &            outputFolder,
                         std::vector<impact::Finding> & findings)
{
  std::string & folder = settings.featureMapsFolder;
  if (folder.empty())
  {
    return;
  }
  if (folder == "true")
  {
    folder = (std::filesystem::path(outputFolder) / "FeatureMaps").string();
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::filesystem::path trial = std::filesystem::path(folder) / ".impact-trial";
  if (!error && !(std::ofstream(trial) << "x" << std::flush))
  {
    error = std::make_error_code(std::errc::permission_denied);
  }
  if (error)
  {
    impact::addFinding(findings,
                       { { impact::Problem::Kind::Value,
                           "folder \"" + folder + "\" cannot be written to: " + error.message() + ".",
                           "Give a folder that can, \"true\" for one in elastix's output folder, or \"false\"." },
                         impact::Finding::Severity::Error,
                         settings.nameOf("WriteFeatureMaps"),
                         { settings.level } });
    return;
  }
  std::filesystem::remove(trial, error);
}


void
WriteFeatureMap(const std::string & folder, const impact::MapToWrite & map)
{
  const std::filesystem::path path = std::filesystem::path(folder) / (map.name + ".mha");
  // Nobody is to find half a map under its name.
  const std::filesystem::path unfinished = std::filesystem::path(folder) / (".writing-" + map.name + ".mha");
  try
  {
    if (map.grid.dimension == 2)
    {
      Write<2>(unfinished.string(), map);
    }
    else
    {
      Write<3>(unfinished.string(), map);
    }
    std::filesystem::rename(unfinished, path);
  }
  catch (const std::exception & error)
  {
    std::error_code ignored;
    std::filesystem::remove(unfinished, ignored);
    const auto * const ofItk = dynamic_cast<const itk::ExceptionObject *>(&error);
    throw impact::Error("Feature map \"" + path.string() + "\" cannot be written: " +
                          (ofItk ? ofItk->GetDescription() : error.what()) + " Is the disk full?",
                        "WriteFeatureMaps \"false\" writes none.");
  }
}

} // namespace elastix
