#include <doctest/doctest.h>

#include "impact/base/error.h"
#include "impact/base/finding.h"
#include "impact/settings/settings_parser.h"

#include <algorithm>
#include <set>

using namespace impact;

namespace
{

Finding
findingOf(const ParsedSettings & parsed, Problem::Kind kind)
{
  const auto found = std::find_if(
    parsed.findings.begin(), parsed.findings.end(), [kind](const Finding & finding) { return finding.kind == kind; });
  REQUIRE(found != parsed.findings.end());
  return *found;
}

} // namespace

TEST_CASE("A finding's message has parameter, levels, text and remedy")
{
  Finding finding{ { Problem::Kind::Value, "\"7\" is not allowed.", "Allowed: 2 or 3." },
                   Finding::Severity::Error,
                   "Dimension",
                   { 0, 1, 3 } };
  CHECK(finding.message() == "Dimension (resolution levels 0, 1 and 3): \"7\" is not allowed. Allowed: 2 or 3.");
  finding.levels = { 2 };
  finding.remedy.clear();
  CHECK(finding.message() == "Dimension (resolution level 2): \"7\" is not allowed.");
  finding.levels.clear();
  CHECK(finding.message() == "Dimension: \"7\" is not allowed.");
  finding.parameter.clear();
  CHECK(finding.message() == "\"7\" is not allowed.");
}

TEST_CASE("What a text says of its file has no parameter in front, and is said once for both images")
{
  const ModelError     error("a.pt", ": forward() returned None.", "Allowed: a tensor.");
  std::vector<Finding> findings;
  addFinding(findings, { error.problem(), Finding::Severity::Error, "FixedModelsPath", { 0 }, true });
  addFinding(findings, { error.problem(), Finding::Severity::Error, "MovingModelsPath", { 1 }, true });
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].parameter == "FixedModelsPath");
  CHECK(findings[0].path == "a.pt");
  CHECK(findings[0].levels == std::vector<int>{ 0, 1 });
  CHECK(findings[0].message() == "Model file \"a.pt\": forward() returned None. Allowed: a tensor.");
  CHECK(findings[0].message() == error.what());
}

TEST_CASE("Findings that differ in severity, parameter, text or remedy stay apart")
{
  const Finding        finding{ { Problem::Kind::Value, "a.", "b." }, Finding::Severity::Error, "GPU", { 0 } };
  std::vector<Finding> findings{ finding };
  for (const auto & change :
       std::vector<void (*)(Finding &)>{ [](Finding & f) { f.severity = Finding::Severity::Warning; },
                                         [](Finding & f) { f.parameter = "PCA"; },
                                         [](Finding & f) { f.text = "c."; },
                                         [](Finding & f) { f.remedy = "d."; } })
  {
    Finding other = finding;
    change(other);
    addFinding(findings, other);
  }
  CHECK(findings.size() == 5);
}

TEST_CASE("An error has text and remedy apart, and says both")
{
  const Error error("It is not.", "Do it.");
  CHECK(error.what() == std::string("It is not. Do it."));
  CHECK(error.problem().text == "It is not.");
  CHECK(error.problem().remedy == "Do it.");
  CHECK(Error("It is not.").what() == std::string("It is not."));

  const ParameterError ofParameter("PCA", "9 is not allowed.", "Allowed: 0 to 8.");
  CHECK(ofParameter.what() == std::string("Parameter PCA: 9 is not allowed. Allowed: 0 to 8."));
  CHECK(ofParameter.parameter() == "PCA");
  CHECK(ofParameter.problem().text == "9 is not allowed.");
}

TEST_CASE("Every kind has a word of its own")
{
  std::set<std::string> words;
  for (int kind = 0; kind <= static_cast<int>(Problem::Kind::Image); ++kind)
  {
    words.insert(toString(static_cast<Problem::Kind>(kind)));
  }
  CHECK(words.size() == 12);
  CHECK(words.count("") == 0);
}

TEST_CASE("The parser says what sort of finding it is, and what to do")
{
  const ParsedSettings parsed = parseSettings({ { "Metric", { "Impact" } },
                                                { "ModelsPath", { "a.pt b.pt" } },
                                                { "VoxelSize", { "3*3*3" } },
                                                { "Distance", { "L9" } },
                                                { "Dimension", { "3 3 3" } },
                                                { "ImpactVoxelSise", { "3" } },
                                                { "GPU", { "-1", "-1", "-1" } },
                                                { "Transform", { "ExternalTransform" } } },
                                              "",
                                              2,
                                              3);
  CHECK(findingOf(parsed, Problem::Kind::Value).text == "\"L9\" is not allowed.");
  CHECK(findingOf(parsed, Problem::Kind::Value).remedy.rfind("Allowed: \"L1\", ", 0) == 0);
  CHECK(findingOf(parsed, Problem::Kind::Count).remedy == "Give one for all, or one for each.");
  CHECK(findingOf(parsed, Problem::Kind::UnknownParameter).remedy == "The nearest is ImpactVoxelSize.");
  CHECK(findingOf(parsed, Problem::Kind::Unused).remedy.rfind("The values of one level", 0) == 0);
  CHECK(findingOf(parsed, Problem::Kind::Component).remedy.rfind("Give it as the initial", 0) == 0);
}
