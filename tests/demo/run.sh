#!/usr/bin/env bash
# The main job, end to end, on this machine: kernels built here are imported into a cache, served on loopback, locked,
# downloaded into a second cache, checked and measured.
set -euo pipefail
build=$(cd "${1:-build/release}" && pwd)
export PATH=$build:$PATH
unset HF_TOKEN HF_HUB_OFFLINE HF_HUB_CACHE KERNELS_CACHE HF_ENDPOINT HUGGING_FACE_HUB_TOKEN
root=$(mktemp -d "${TMPDIR:-/tmp}/kernels-demo.XXXXXX")
server=
finished=no

cleanup() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
  [ "$finished" = yes ] || { rm -rf "$root"; echo "demo: failed; nothing was left behind" >&2; }
}
trap cleanup EXIT
trap 'exit 130' INT TERM

bold=$([ -t 1 ] && [ -z "${NO_COLOR:-}" ] && printf '\033[1m' || true)
plain=${bold:+$(printf '\033[0m')}
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
now() { date +%s%3N; }
took() { printf '  (%s ms)\n' "$(($(now) - begin))"; }

step "1. Import the kernels built here into a cache"
begin=$(now)
for name in activation rmsnorm; do
  kernels --cache "$root/publisher" import "$build/hub/$name" --repo-id "demo/$name"
done
took

step "2. Serve that cache as a Hub on loopback"
begin=$(now)
kernels --quiet --cache "$root/publisher" serve --port 0 --port-file "$root/port" --trusted-publisher demo \
  > "$root/serve.log" 2>&1 &
server=$!
for _ in $(seq 100); do [ -s "$root/port" ] && break; sleep 0.05; done
[ -s "$root/port" ] || { cat "$root/serve.log" >&2; exit 1; }
export HF_ENDPOINT=http://127.0.0.1:$(cat "$root/port")
export HF_HUB_CACHE=$root/cache
echo "$HF_ENDPOINT"
took

step "3. Lock a new project"
mkdir "$root/project"
cat > "$root/project/kernels.toml" <<'TOML'
[dependencies]
"demo/activation" = 1
"demo/rmsnorm" = 1

[layers.SiluAndMul]
cpu = { repo = "demo/activation" }
cuda = { repo = "demo/activation" }

[layers.RMSNorm]
cpu = { repo = "demo/rmsnorm" }
cuda = { repo = "demo/rmsnorm" }

[targets.prod]                       # a machine that is not here
os = "linux"
cpu = "x86_64"
cuda = "13.0"
tvm-ffi = "0.1"
capability = ["9.0", "10.0"]
TOML
cd "$root/project"
begin=$(now)
kernels lock
took
begin=$(now)
kernels lock --check
took

step "4. Download into a second, empty cache"
begin=$(now)
kernels download
took
begin=$(now)
kernels download
took

step "5. Check this machine"
begin=$(now)
kernels check
took

step "6. Measure on what this machine has"
begin=$(now)
kernels bench --workload decode --budget 0.1
took

step "7. Run a model in C++ with the locked kernels in it (lib/examples)"
begin=$(now)
"$build/examples/llama_block" "$root/project" --hidden 512 --intermediate 1376 --heads 8 --tokens 32
took

finished=yes
step "Done. Look around:"
echo "  the project   $root/project   (kernels.toml, kernels.lock, kernels.sum)"
echo "  the lock      $root/project/kernels.lock"
echo "  the cache     $root/cache"
echo "  the publisher $root/publisher"
