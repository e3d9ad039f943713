#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/file.h"
#include "kernels/bundle/read.h"
#include "kernels/bundle/write.h"
#include "kernels/cache/snapshot.h"
#include "kernels/model/event.h"
#include "kernels/model/lock.h"
#include "kernels/ops/download.h"
#include "kernels/ops/signatures.h"

namespace kernels::ops {

/// What goes beside the kernels into a bundle.
struct BundleTexts {
  std::string lock;          ///< `kernels.lock`
  std::string sum;           ///< `kernels.sum` that belongs to it
  std::string trusted_root;  ///< Sigstore's, for a place that has another program or none
};

/// Packs the files of a plan that was carried out, from the cache. Errors  as of `bundle::write_bundle`.
Result<bundle::PackReport> pack_bundle(const cache::Layout& layout, const DownloadPlan& plan,
                                       const BundleTexts& texts, const std::filesystem::path& output,
                                       const std::stop_token& stop);

/// One variant in a bundle.
struct BundledVariant {
  std::string name;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  bool is_signed = false;  ///< there is a `metadata.json.sigstore`; whether it is good is another question
};
struct BundledKernel {
  RepoId repo;
  Commit commit;
  std::string ref;
  TrustSource trust = TrustSource::hub;  ///< why the lock trusts the publisher
  std::vector<BundledVariant> variants;  ///< sorted by name
  std::vector<bundle::File> files;       ///< sorted by path
};

/// What is in a bundle, as its index says, which agrees with its lock.
struct BundleContents {
  std::string file;
  std::uint64_t bundle_bytes = 0;
  std::uint64_t blobs = 0;
  std::uint64_t blob_bytes = 0;
  std::uint64_t files = 0;
  std::uint64_t file_bytes = 0;
  std::string trusted_root_sha256;
  std::vector<BundledKernel> kernels;
  bundle::Confinement confinement;  ///< of the process that unpacked
};

/// Reads the front of a bundle: enough to know everything that is in it. Errors  as of `Bundle::open`.
Result<BundleContents> list_bundle(const std::filesystem::path& file);

/// Reads all of it, and holds every byte against its hash; writes nothing. Errors  also as of `read_blobs`.
Result<BundleContents> verify_bundle(const std::filesystem::path& file, const EventSink& events,
                                     const std::stop_token& stop);

struct BundleImportOptions {
  cache::Links links = cache::Links::symlinks;
  Durable durable = Durable::yes;
  /// Whose signatures count. The trusted root in the bundle is a statement of its writer, and plays no part.
  SignatureRules signatures = {};
};

struct BundleImportReport {
  BundleContents contents;
  std::uint64_t written_blobs = 0;  ///< that the cache did not have yet
  std::uint64_t written_bytes = 0;
  /// One for each variant, unless signatures are off.
  std::vector<VariantSignature> signatures = {};
};

/// Takes a bundle into the cache, without a network, so that this program and the Python packages find
/// everything that was packed. Blobs are unpacked beside the others and verified; only when the whole bundle
/// is right are they published, then links, then refs.
///
/// Errors  as of `Bundle::open` and `read_blobs`; integrity: files that are not those of a variant's digest;
///         untrusted: a signature that the rules refuse; io, also when the disk has too little space. The
///         cache is then as before.
/// Threads one, and a process that unpacks. Cost  every byte is unpacked, hashed and written once.
Result<BundleImportReport> import_bundle(const cache::Layout& layout, const std::filesystem::path& file,
                                         const BundleImportOptions& options, const EventSink& events,
                                         const std::stop_token& stop);

}  // namespace kernels::ops
