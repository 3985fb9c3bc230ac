#!/usr/bin/env bash
# Installs the plugin beside the torch of a machine with a GPU, checks the GPU's results against the CPU's and measures:
#
#   benchmarks/gpu.sh [OPTION...]     all of it; the options are those of benchmarks/gpu.py (--help). --pretended tries all of
#                                     it where there is no GPU.
#   benchmarks/gpu.sh pack            packs what a machine without a network needs into out/gpu-kit, below 64 MiB, after a
#                                     build (make install): the plugin that was built, for this Python and the torches it
#                                     was built for. There, with this source tree and that folder in its place, the first
#                                     form builds nothing and fetches nothing.
#
# Needs Python with torch 2.13 and numpy in it (PYTHON, python3 by default), and, unless there is a kit, a C++17 compiler and
# Python's headers. Without torch and numpy, and with a network, pip installs them. Everything is written below out/gpu; the
# machine's own packages stay as they are.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
kit=${IMPACT_GPU_KIT:-$root/out/gpu-kit}
work=$root/out/gpu
needed=("SimpleITK>=2.4" "click>=8.1" "msgspec>=0.19" "tomlkit>=0.12" "tqdm>=4.66") # of the plugin, beside torch and numpy
tools=("scikit-build-core>=0.11" "pybind11>=2.13" "cmake>=3.24" "ninja>=1.11")
export PIP_CONSTRAINT=$root/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH

if [[ ${1-} == pack ]]; then
  python=$root/.venv/bin/python
  wheels=("$root"/dist/impact_plugin-*.whl)
  builds=("$root"/build/cp*-linux_x86_64)
  [[ -x $python && -f ${wheels[0]} && -d ${builds[0]} ]] || { echo "There is no build to pack: run make install first." >&2; exit 1; }
  rm -rf "$kit" && mkdir -p "$kit/wheels"
  cp "${wheels[0]}" "$kit/wheels"
  "$root/.venv/bin/cmake" --install "${builds[0]}" --component testing --prefix "$kit/testing" >/dev/null
  rm -rf "$kit"/testing/impact_testing-parts/{impact_units,torch-*/elastix-*} # of other torches and tests
  "$python" -m pip download --quiet --no-deps --dest "$kit/wheels" itk-elastix==0.25.3 "${needed[@]}"
  "$python" "$root/benchmarks/repack_wheels.py" "$kit/wheels"
  testing=$("$python" "$root/cmake/obtain_sources.py" --print-data)
  (cd "$testing" && tar cf - Data/3DCT_lung_{baseline,followup}{,_mask}.mha Data/3DCT_lung_baseline_landmarks.txt \
    Data/transformparameters.3DCT_lung.affine.txt Data/M730_1_Layers.pt Data/parameters.3D.IMPACT.bspline.ASGD.00[12].txt \
    Baselines/3DCT_lung_groundtruth_point.txt) | (mkdir -p "$kit/Testing" && tar xf - -C "$kit/Testing")
  if [[ -d $root/../shared/data/ms ]]; then # the pairs of docs/evidence.md
    mkdir -p "$kit/data/ms" && cp "$root"/../shared/data/ms/p07_* "$kit/data/ms"
  fi
  size=$(du --bytes -s "$kit" | cut -f 1)
  echo "$kit: $((size / 1024)) KiB"
  [[ $size -lt $((64 << 20)) ]] || { echo "That is more than 64 MiB." >&2; exit 1; }
  exit 0
fi

# An environment that sees the packages of the machine's Python, its torch among them, and takes new ones itself.
"$python" -m venv "$work/venv" || "$python" -m virtualenv --quiet "$work/venv"
own=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
torch=$("$python" -c 'import importlib.util as u; s = u.find_spec("torch"); print(next(iter(s.submodule_search_locations)) if s else "")')
if [[ -n $torch ]]; then
  dirname "$torch" > "$own/machine.pth"
  ln -sfn "$torch" "$own/torch" # the plugin looks for torch's libraries beside itself
fi
pip() { "$work/venv/bin/python" -m pip "$@"; }
from=()
if [[ -d $kit ]]; then
  echo "gpu.sh: without a network, from $kit"
  from=(--no-index --find-links "$kit/wheels")
  data=$kit/Testing
fi
[[ -n $torch ]] || pip install --quiet "${from[@]}" "torch==2.13.*"
pip install --quiet "${from[@]}" numpy "${needed[@]}"
pip install --quiet "${from[@]}" --no-deps --ignore-installed itk-elastix==0.25.3 # it must lie beside the plugin, too
PATH=$work/venv/bin:$PATH
version=$("$work/venv/bin/python" -c 'import torch; print(torch.__version__)')
if [[ -d $kit ]]; then
  echo "gpu.sh: with torch $version, nothing is built"
  pip install --quiet --no-deps --no-index --force-reinstall "$kit"/wheels/impact_plugin-*.whl
  cp -r "$kit"/testing/. "$own"
else
  pip install --quiet "${tools[@]}"
  echo "gpu.sh: building against torch $version"
  rm -rf "$work/dist"
  pip wheel --quiet --no-deps --no-build-isolation "--config-settings=build-dir=$work/build" --config-settings=cmake.define.IMPACT_TESTS=ON \
    --wheel-dir "$work/dist" "$root"
  pip install --quiet --no-deps --no-index --force-reinstall "$work"/dist/*.whl
  cmake --install "$work/build" --component testing \
    --prefix "$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" >/dev/null
fi
data=${data:-$("$work/venv/bin/python" "$root/cmake/obtain_sources.py" --print-data)}
exec "$work/venv/bin/python" "$root/benchmarks/gpu.py" "$data" "$@"
