#!/usr/bin/env bash
# The example of lib/examples as its reader would run it: kernels of this build, served, locked, and put into the model.
set -euo pipefail
build=${1:?usage: example.sh BUILD_FOLDER}
work=$(mktemp -d)
trap 'kill "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
server=
unset HF_TOKEN HF_HUB_OFFLINE KERNELS_CACHE
for name in activation rmsnorm; do
  "$build/kernels" -q --cache "$work/publisher" import "$build/hub/$name" --repo-id "demo/$name" > /dev/null
done
"$build/kernels" -q --cache "$work/publisher" serve --port 0 --port-file "$work/port" --trusted-publisher demo \
  > "$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 200); do [ -s "$work/port" ] && break; sleep 0.05; done
HF_ENDPOINT=http://127.0.0.1:$(cat "$work/port")
export HF_ENDPOINT HF_HUB_CACHE=$work/cache
mkdir "$work/project"
printf '%s\n' '[dependencies]' '"demo/activation" = 1' '"demo/rmsnorm" = 1' \
  '[layers.SiluAndMul]' 'cpu = { repo = "demo/activation" }' \
  '[layers.RMSNorm]' 'cpu = { repo = "demo/rmsnorm" }' > "$work/project/kernels.toml"
"$build/kernels" -q lock "$work/project"
said=$("$build/examples/llama_block" "$work/project" --hidden 128 --intermediate 352 --heads 4 --tokens 8)
echo "$said"
grep -q '^3 of 3 layers replaced' <<< "$said"
# A second time the cache is enough.
kill "$server"
HF_HUB_OFFLINE=1 "$build/examples/llama_block" "$work/project" --hidden 128 --intermediate 352 --heads 4 --tokens 8 |
  grep -q '^3 of 3 layers replaced'
