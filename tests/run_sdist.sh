#!/usr/bin/env bash
# Usage: tests/run_sdist.sh PYTHON [WHEEL]
#
# Makes the source distribution, has pip build a wheel of it as a user's pip does, in an environment of its own, and checks
# that wheel: `make sdist-check`. With WHEEL, also compares the two byte by byte. Without a compiler cache.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wheel=${2:+$(realpath "$2")}
unset CMAKE_CXX_COMPILER_LAUNCHER CMAKE_C_COMPILER_LAUNCHER SOURCE_DATE_EPOCH

"$python" -m build --sdist --no-isolation --outdir "$scratch" "$root" >/dev/null
cd "$scratch"
"$python" -m pip wheel --quiet --no-deps --build-constraint "$root/build-constraints.txt" --wheel-dir dist \
  ./impact_plugin-*.tar.gz
"$python" "$root/cmake/check_wheel.py" dist/*.whl
sha256sum dist/*.whl ${wheel:+"$wheel"}
if [[ -n $wheel ]]; then
  cmp dist/*.whl "$wheel"
  echo "the same to the byte"
fi
