#!/usr/bin/env bash
# Usage: tests/run_reproducible.sh PYTHON [WHEEL]
#
# Builds a wheel of the commit that is checked out, twice, in folders of different names, one after the other, and compares
# them byte by byte: `make reproducible`. With WHEEL, builds once and compares with that. PYTHON has what the build requires.
# Without a compiler cache, which would give the first build's files to the second.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset CMAKE_CXX_COMPILER_LAUNCHER CMAKE_C_COMPILER_LAUNCHER SOURCE_DATE_EPOCH

build() { # FOLDER: of the sources, beneath $scratch
  mkdir -p "$scratch/$1"
  git -C "$root" archive HEAD | tar -x -C "$scratch/$1"
  "$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$scratch/dist-${1//\//-}" "$scratch/$1"
  ls "$scratch/dist-${1//\//-}"/*.whl
}

first=${2:-$(build one)}
second=$(build another/folder)
sha256sum "$first" "$second"
if cmp "$first" "$second"; then
  echo "reproducible: two builds of $(git -C "$root" rev-parse --short HEAD) are the same to the byte"
  exit
fi
for wheel in first second; do
  mkdir "$scratch/$wheel"
  "$python" -m zipfile -e "${!wheel}" "$scratch/$wheel"
done
diff --recursive --brief "$scratch/first" "$scratch/second" >&2 || true
echo "not reproducible: the files above differ" >&2
exit 1
