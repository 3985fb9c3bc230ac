#!/usr/bin/env bash
# Usage: tests/run_aarch64.sh PYTHON [TORCH ITK_ELASTIX]
#
# Compiles everything for aarch64 on an x86-64 machine, against the aarch64 wheels of torch and itk-elastix that pip gives,
# and runs the C++ unit tests in an emulator: `make aarch64`. What needs Python or torch at run time is not run. Wants
# Debian's g++-aarch64-linux-gnu and qemu-user-static. PYTHON has what the build requires.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$1
torch=${2:-2.13}
host=${3:-0.25.3}
work=$root/build/aarch64
export IMPACT_CACHE_DIR=$work/cache

for tool in aarch64-linux-gnu-g++ qemu-aarch64-static; do
  command -v "$tool" > /dev/null || {
    echo "$tool is missing: apt-get install g++-aarch64-linux-gnu qemu-user-static" >&2; exit 1; }
done

# The wheels' headers and libraries, where obtain_torch.py and obtain_hosts.py look for what they have fetched before.
mkdir -p "$IMPACT_CACHE_DIR" "$work/wheels"
for package in "torch==$torch.*" "itk-elastix==$host"; do
  PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS='' PIP_CONSTRAINT='' "$python" -m pip download --quiet --no-deps \
    --only-binary=:all: --platform manylinux_2_28_aarch64 --dest "$work/wheels" "$package"
done
for package in "torch-$torch" "itk_elastix-$host"; do
  to=$IMPACT_CACHE_DIR/${package//_/-}
  [[ -d $to ]] || "$python" -m zipfile -e "$work/wheels/$package"*.whl "$to"
done

# An environment without torch and itk-elastix: those of this machine are for another processor.
[[ -d $work/env ]] || "$python" -m venv "$work/env"
"$work/env/bin/pip" install --quiet pybind11 cmake ninja
cd "$work"
PATH=$work/env/bin:$PATH cmake -G Ninja -S "$root" -B tree \
  -DCMAKE_TOOLCHAIN_FILE="$root/cmake/aarch64-toolchain.cmake" -DCMAKE_BUILD_TYPE=Release \
  -DPython_EXECUTABLE="$work/env/bin/python" \
  -DPython_INCLUDE_DIR="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
  -DIMPACT_TORCH_SERIES="$torch" -DIMPACT_HOSTS="$host" -DIMPACT_TESTS=ON
env/bin/ninja -C tree
qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$work/tree/src/cpp/impact" tree/tests/cpp/impact_units
