#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace kernels::test {

/// What is signed, by whom, and what is wrong with it.
struct Signing {
  /// Extensions 1.3.6.1.4.1.57264.1.<number>; 1 to 6 raw, the others DER UTF8String.
  std::map<int, std::string> identity;
  std::string name;  ///< URI, subject alternative name
  std::int64_t time = 1'780'000'000;
  std::int64_t valid_seconds = 600;  ///< of the signer's certificate, from `time` on
  bool rekor_v2 = false;
  bool promise = true;     ///< Rekor v1 only
  bool timestamp = false;  ///< always for Rekor v2
  std::int64_t timestamp_delay = 0;
  std::string curve = "P-256";
  std::string key_usage = "critical,digitalSignature";
  std::string extended_key_usage = "codeSigning";
  std::string basic_constraints = {};  ///< `CA:TRUE`; empty: none
  bool unknown_critical_extension = false;
  int certificate_timestamps = 1;
  bool foreign_certificate_log = false;  ///< signed by a key that is not in the root
  std::uint64_t tree_size = 7;
  std::uint64_t tree_index = 3;
  std::string logged_artifact = {};  ///< what the log records in place of the artifact
};

/// The identity of a run of kernels-community's build workflow.
Signing kernels_community();
/// A run of `workflow`, a URI such as
/// `https://github.com/acme/kernels/.github/workflows/build.yaml@refs/heads/main`.
Signing run_of(const std::string& workflow);

/// Services like those of Sigstore, with keys of their own, and the trusted root that names them.
class SigstoreAuthority {
 public:
  SigstoreAuthority();
  SigstoreAuthority(const SigstoreAuthority&) = delete;
  SigstoreAuthority& operator=(const SigstoreAuthority&) = delete;
  ~SigstoreAuthority();

  nlohmann::json trusted_root() const;
  /// A bundle of version 0.3 over an artifact.
  nlohmann::json sign(std::string_view artifact, const Signing& signing = kernels_community()) const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
};

}  // namespace kernels::test
