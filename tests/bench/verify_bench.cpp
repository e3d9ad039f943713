// `make bench-verify`: what it costs to find out who signed. One bundle at a time, one thread, in memory.

#include <filesystem>
#include <fstream>
#include <iterator>

#include <benchmark/benchmark.h>

#include "kernels/base/hash.h"
#include "kernels/verify/verify.h"

using namespace kernels;

namespace {

const std::filesystem::path kData = KERNELS_TEST_SIGSTORE;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Reads a bundle and verifies it, as is done for each variant; the trusted root is read once.
void verify_bundle(benchmark::State& state, const std::string& bundle, const std::string& artifact,
                   const std::string& root_text, const verify::NamedSigner& signer) {
  auto text = text_of(kData / bundle);
  auto file = text_of(kData / artifact);
  auto root = verify::parse_trusted_root(root_text, "root");
  Hasher hasher(HashAlgorithm::sha256);
  hasher.update(file);
  auto raw = hasher.finish();
  verify::Sha256 hash = {};
  std::ranges::copy(raw, hash.begin());
  for (auto _ : state) {
    auto parsed = verify::parse_bundle(text, "bundle");
    auto result = parsed ? verify::verify_bundle(*parsed, hash, *root, {signer})
                         : std::unexpected(verify::Failure{.step = {}, .reason = "not a bundle", .hint = {}});
    if (!result) return state.SkipWithError(result.error().reason.c_str());
    benchmark::DoNotOptimize(result);
  }
}

void read_root(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(verify::parse_trusted_root(verify::embedded_trusted_root(), "embedded"));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string issuer = "https://token.actions.githubusercontent.com";
  const verify::NamedSigner wheel{
      .issuer = issuer,
      .name = "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2"};
  const verify::NamedSigner beacon{
      .issuer = issuer,
      .name =
          "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
          "extremely-dangerous-oidc-beacon.yml@refs/heads/main"};
  const std::string embedded(verify::embedded_trusted_root());
  benchmark::RegisterBenchmark("Rekor v1", [=](benchmark::State& state) {
    verify_bundle(state, "production/bundle_v3_github.whl.sigstore", "production/bundle_v3_github.whl",
                  embedded, wheel);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("Rekor v2 and a timestamp", [=](benchmark::State& state) {
    verify_bundle(state, "conformance/rekor2-happy-path/bundle.sigstore.json", "conformance/a.txt",
                  text_of(kData / "conformance/rekor2-happy-path/trusted_root.json"), beacon);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("reading the trusted root", read_root)->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
