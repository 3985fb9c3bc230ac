// Stands in for libFuzzer where the compiler has none: seeds, changed at random by a fixed generator.
//
//     fuzz ITERATIONS FILE...      each file as it is, and then that many changes of them

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t * data, std::size_t size);

namespace
{

using Random = std::mt19937;

const std::vector<std::string> pieces{
  " ",   "\"", "*",     "(",   ")",  "\n", "-1",   "0",  "1e999", "nan",    "99999999999999999999",
  "0.5", "-",  "5*5*5", "*5*", "//", "\t", "true", "%s", "\xff",  "Impact", "FixedModelsPath1"
};

std::size_t
below(Random & random, std::size_t count)
{
  return count == 0 ? 0 : random() % count;
}

std::string
changed(std::string text, const std::vector<std::string> & seeds, Random & random)
{
  for (std::size_t n = 1 + below(random, 6); n > 0; --n)
  {
    const std::size_t place = below(random, text.size() + 1);
    const std::size_t length = std::min(below(random, 20), text.size() - place);
    switch (below(random, 6))
    {
      case 0:
        text.erase(place, length);
        break;
      case 1:
        text.insert(place, pieces[below(random, pieces.size())]);
        break;
      case 2:
        text.insert(place, text.substr(place, length));
        break;
      case 3:
        if (place < text.size())
        {
          text[place] = static_cast<char>(random());
        }
        break;
      case 4:
      {
        const std::string & other = seeds[below(random, seeds.size())];
        const std::size_t   from = below(random, other.size() + 1);
        text.insert(place, other.substr(from, below(random, 200)));
        break;
      }
      default:
        text.replace(place, length, pieces[below(random, pieces.size())]);
    }
  }
  return text;
}

int
run(const std::string & text)
{
  // Read after a crash, which leaves no other trace of its input.
  std::ofstream("crash-input", std::ios::binary) << text;
  return LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t *>(text.data()), text.size());
}

} // namespace

int
main(int count, char ** arguments)
{
  std::vector<std::string> seeds;
  for (int n = 2; n < count; ++n)
  {
    std::ifstream file(arguments[n], std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    run(seeds.back());
  }
  Random    random(1);
  const int iterations = count > 1 ? std::atoi(arguments[1]) : 0;
  for (int n = 0; n < iterations && !seeds.empty(); ++n)
  {
    run(changed(seeds[below(random, seeds.size())], seeds, random));
  }
  std::remove("crash-input");
  std::printf("%d inputs\n", iterations + static_cast<int>(seeds.size()));
  return 0;
}
