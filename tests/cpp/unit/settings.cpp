#include <doctest/doctest.h>

#include "impact/base/memo.h"
#include "impact/base/workers.h"
#include "impact/settings/settings_parser.h"
#include "impact/settings/values.h"

#include <atomic>
#include <stdexcept>
#include <thread>

using namespace impact;

TEST_CASE("The whole text is a number, or it is none")
{
  CHECK(toNumber<int>("12") == 12);
  CHECK(toNumber<int>("-1") == -1);
  CHECK(toNumber<int>("3.000") == 3); // as elastix takes it
  CHECK_FALSE(toNumber<int>("3.5").has_value());
  CHECK_FALSE(toNumber<int>("3 ").has_value());
  CHECK_FALSE(toNumber<int>("").has_value());
  CHECK_FALSE(toNumber<int>("12a").has_value());
  CHECK_FALSE(toNumber<int>("99999999999999999999").has_value());
  CHECK(toNumber<double>("1e-3") == 1e-3);
  CHECK_FALSE(toNumber<double>("1,5").has_value());
  CHECK(toBool("true") == true);
  CHECK_FALSE(toBool("True").has_value());
}

TEST_CASE("A map without a model is told so, by name")
{
  const ParsedSettings parsed = parseSettings({ { "Metric", { "Impact" } } }, "", 1, 3);
  REQUIRE(hasErrors(parsed.findings));
  bool named = false;
  for (const Finding & finding : parsed.findings)
  {
    named = named || finding.message().find("ModelsPath") != std::string::npos;
  }
  CHECK(named);
}

TEST_CASE("A memo makes each value once, whatever number of threads ask")
{
  Memo<int, int>           memo;
  std::atomic<int>         made{ 0 };
  std::vector<std::thread> threads;
  std::atomic<int>         right{ 0 };
  for (int t = 0; t < 8; ++t)
  {
    threads.emplace_back([&] {
      for (int key = 0; key < 50; ++key)
      {
        right += memo.of(key, [&] {
          ++made;
          return 2 * key;
        }) == 2 * key;
      }
    });
  }
  for (std::thread & thread : threads)
  {
    thread.join();
  }
  CHECK(made == 50);
  CHECK(right == 8 * 50);
  CHECK(memo.find(3) == 6);
  CHECK_FALSE(memo.find(99).has_value());
}

TEST_CASE("What could not be made is asked for again")
{
  Memo<int, int> memo;
  CHECK_THROWS_AS(memo.of(1, []() -> int { throw std::runtime_error("no"); }), std::runtime_error);
  CHECK(memo.of(1, [] { return 5; }) == 5);
}

TEST_CASE("Workers do every task once, and pass the first exception on")
{
  Workers                       workers(3);
  std::vector<std::atomic<int>> done(100);
  workers.run(100, [&](std::int64_t task) { ++done[static_cast<std::size_t>(task)]; });
  for (const auto & each : done)
  {
    CHECK(each == 1);
  }
  CHECK_THROWS_WITH(workers.run(10,
                                [](std::int64_t task) {
                                  if (task == 4)
                                  {
                                    throw std::runtime_error("task 4");
                                  }
                                }),
                    "task 4");
  int after = 0;
  workers.run(1, [&](std::int64_t) { ++after; });
  CHECK(after == 1);
}
