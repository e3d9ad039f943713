// `sign ROOT.json VARIANT…`: makes each folder a signed variant, the way a publisher's workflow does, by
// Sigstore services with keys of their own. The trusted root that names them is written to the first file.

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <nlohmann/json.hpp>

#include "kernels/base/hash.h"

#include "support/sigstore_authority.h"

using nlohmann::json;

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::filesystem::path& path, const std::string& text) {
  if (!(std::ofstream(path, std::ios::binary) << text))
    throw std::runtime_error("cannot write " + path.string());
}

json digests_of(const std::filesystem::path& variant) {
  json out = json::object();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(variant)) {
    auto name = entry.path().lexically_relative(variant).string();
    if (!entry.is_regular_file() || name == "metadata.json") continue;
    kernels::Hasher hasher(kernels::HashAlgorithm::sha256);
    hasher.update(text_of(entry.path()));
    out[name] = kernels::to_base64(hasher.finish());
  }
  return out;
}

void sign(const std::filesystem::path& variant, const kernels::test::SigstoreAuthority& authority) {
  auto metadata = json::parse(text_of(variant / "metadata.json"));
  metadata["digest"] = {{"algorithm", "sha256"}, {"files", digests_of(variant)}};
  auto text = metadata.dump(2);
  write(variant / "metadata.json", text);
  write(variant / "metadata.json.sigstore", authority.sign(text).dump());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: sign ROOT.json VARIANT...");
  kernels::test::SigstoreAuthority authority;
  write(argv[1], authority.trusted_root().dump());
  for (int i = 2; i < argc; ++i)
    sign(argv[i], authority);
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
