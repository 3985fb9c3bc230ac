#!/usr/bin/env bash
# Gives the parser of parameter maps changed parameter files for a while: fuzz.sh SECONDS [FOLDER].
# With clang by libFuzzer, which follows the branches that are taken and keeps what it finds in FOLDER; with another compiler by
# driver.cpp, some inputs a second. AddressSanitizer and UndefinedBehaviorSanitizer watch either way.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
seconds="${1:?seconds}"
folder="${2:-$root/build/fuzz}"
sources=("$root/tests/fuzz/fuzz_parser.cpp")
for name in base/finding settings/{doubtful_parameters,model_parser,parameter_reader,parameter_table,settings,settings_parser,unfit_components}; do
  sources+=("$root/src/cpp/impact/$name.cpp")
done
flags=(-std=c++17 -g -O1 -fno-omit-frame-pointer "-I$root/src/cpp")

mkdir -p "$folder/found" "$folder/seeds"
cd "$folder"
cp "$root"/ParameterMaps/*.txt "$root"/tests/fuzz/seeds/*.txt seeds/
clang="$(command -v clang++ || compgen -c clang++- | sort -V | tail -1 || true)"
if [ -n "$clang" ] && [ "${FUZZ_DRIVER:-}" != own ]; then
  "$clang" "${flags[@]}" -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined "${sources[@]}" -o fuzz
  exec ./fuzz -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 found seeds
fi
"${CXX:-c++}" "${flags[@]}" -fsanitize=address,undefined -fno-sanitize-recover=undefined "${sources[@]}" \
  "$root/tests/fuzz/driver.cpp" -o fuzz
exec ./fuzz "$((seconds * 500))" seeds/*.txt
