#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cache/snapshot.h"
#include "kernels/hub/http.h"
#include "kernels/hub/settings.h"
#include "kernels/model/event.h"
#include "kernels/model/lock.h"
#include "kernels/model/target.h"
#include "kernels/ops/signatures.h"
#include "kernels/resolve/advice.h"
#include "kernels/resolve/variants.h"

namespace kernels::ops {

/// Which variants of each locked kernel to take.
struct VariantChoice {
  enum class Kind {
    best_for_targets,  ///< the preferred one of each target
    named,             ///< those in `names`
    all,
  };
  Kind kind = Kind::best_for_targets;
  std::vector<Target> targets;
  std::vector<std::string> names;
};

/// What one kernel of the lock contributes to a download.
struct KernelChoice {
  const LockedKernel* kernel = nullptr;
  std::vector<std::string> variants;         ///< chosen, sorted
  std::vector<resolve::Decision> decisions;  ///< of the first target for which nothing fits; else empty
  std::string target;                        ///< that target
  std::vector<resolve::Advice> advice;       ///< what would make one fit there
  std::vector<std::string> unknown;          ///< named variants that the kernel does not have
};

/// Pure: which variants of each kernel a choice means. Kernels for which nothing fits have no `variants`.
std::vector<KernelChoice> choose_variants(const Lock& lock, const VariantChoice& choice);

/// One blob to fetch, with every place where it goes.
struct FetchItem {
  RepoId repo;
  Commit commit;
  FileEntry file;
};

/// What has to be done to have some variants complete in the cache.
struct DownloadPlan {
  struct Kernel {
    const LockedKernel* kernel = nullptr;
    std::vector<FileEntry> files;  ///< of the chosen variants
  };
  std::vector<Kernel> kernels;
  std::vector<FetchItem> fetch;      ///< each blob once
  std::vector<FetchItem> unchecked;  ///< there, but not known to be verified: hashed first, fetched if wrong
  std::uint64_t fetch_bytes = 0;
  std::uint64_t present_files = 0;
  std::uint64_t present_bytes = 0;
};

/// Looks at the cache; makes no request and writes nothing.
DownloadPlan plan_download(const cache::Layout& layout, const std::vector<KernelChoice>& choices);

struct DownloadOptions {
  const hub::Settings& settings;
  std::string user_agent;
  std::size_t jobs = 64;  ///< connections at most
  cache::Links links = cache::Links::symlinks;
  /// A server whose first answer comes faster is near: one stream, hashed from memory, is best. Farther away,
  /// files over 8 MiB come in ranges over several connections.
  std::chrono::microseconds near{3000};
  /// Whose signatures count, and what a variant without one means.
  SignatureRules signatures = {};
};

struct DownloadReport {
  std::uint64_t files_fetched = 0;
  std::uint64_t bytes_fetched = 0;
  std::uint64_t bytes_resumed = 0;
  std::uint64_t files_present = 0;
  std::uint64_t files_verified = 0;  ///< were there and had to be hashed
  /// One for each variant, unless signatures are off.
  std::vector<VariantSignature> signatures = {};
  hub::HttpCounters counters;
};

/// Adds other files of a kernel that is in the plan, such as its benchmark scripts.
void add_to_plan(const cache::Layout& layout, const LockedKernel& kernel, const std::vector<FileEntry>& files,
                 DownloadPlan& plan);

/// Carries out a plan: one pool over all files of all kernels, each file hashed while it comes, published
/// only when right; then links, then refs. Files over 8 MiB come in ranges over several connections when the
/// server is far. With nothing to do it makes no request. A variant that the rules
/// refuse for its signature ends the download as soon as that is known; nothing of it stays. Errors  network;
/// integrity: wrong bytes, nothing of them is kept; untrusted: a signature; io; interrupted: what is verified
/// stays and
///         the rest is gone on with next time; not_found, access_denied; offline with something missing:
///         network.
Result<DownloadReport> download(const cache::Layout& layout, const DownloadPlan& plan,
                                const DownloadOptions& options, const EventSink& events,
                                const std::stop_token& stop);

}  // namespace kernels::ops
