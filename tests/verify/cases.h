#pragma once

// Sigstore's test bundles and what is around them.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/verify/bundle.h"
#include "kernels/verify/verify.h"

namespace kernels::test {

inline const std::filesystem::path kSigstoreData = KERNELS_TEST_SIGSTORE;

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// One line of the manifest.
struct ConformanceCase {
  std::string name;
  bool accepted = false;  ///< for metadata of kernels
  std::filesystem::path artifact;
  std::filesystem::path root;
  std::string identity;
  std::string issuer;
  std::string bundle() const {
    return read_file(kSigstoreData / "conformance" / name / "bundle.sigstore.json");
  }
};

inline std::vector<ConformanceCase> conformance_cases() {
  const std::string identity =
      "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
      "extremely-dangerous-oidc-beacon.yml@refs/heads/main";
  const std::string issuer = "https://token.actions.githubusercontent.com";
  auto folder = kSigstoreData / "conformance";
  std::vector<ConformanceCase> out;
  std::istringstream manifest(read_file(folder / "manifest.tsv"));
  for (std::string line; std::getline(manifest, line);) {
    if (line.starts_with("#") || line.starts_with("case\t")) continue;
    std::vector<std::string> fields;
    std::istringstream columns(line);
    for (std::string field; std::getline(columns, field, '\t');)
      fields.push_back(field);
    fields.resize(10);
    out.push_back({.name = fields[0],
                   .accepted = fields[2] == "ACCEPT",
                   .artifact = folder / fields[3],
                   .root = fields[4] == "../trusted_root.json"
                               ? std::filesystem::path(KERNELS_TEST_TRUSTED_ROOT)
                               : folder / fields[4],
                   .identity = fields[6] == "default" ? identity : fields[6],
                   .issuer = fields[7] == "default" ? issuer : fields[7]});
  }
  return out;
}

verify::Sha256 hash_of(std::string_view text);

/// How a verification ended: `accepted`, `bundle`, `trusted root`, or the name of the step that failed.
struct Verdict {
  std::string step;
  std::string reason;
};
Verdict verdict_of(std::string_view bundle, std::string_view artifact, std::string_view root,
                   const verify::Policy& policy);

}  // namespace kernels::test
