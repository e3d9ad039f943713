#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/base/error.h"
#include "kernels/hub/settings.h"
#include "kernels/layers/kernel_source.h"
#include "kernels/model/event.h"
#include "kernels/model/target.h"
#include "kernels/ops/signatures.h"

namespace kernels::ops {

struct KernelSourceOptions {
  hub::Settings settings;
  /// The libtvm_ffi.so that kernels are given: that of this project, or the real one.
  std::filesystem::path provider;
  /// What kernels have to fit. None: this machine, as it is found at the first request.
  std::optional<Target> target = {};
  std::string user_agent = "kernels-library";
  EventSink events = [](const Event&) {};
  /// What is asked of signatures, beside what the project of a lock says: the strictest counts.
  SignatureSettings signatures = {};
};

/// Kernels from the Hub, from project locks and from folders, through the cache that is shared with the
/// Python packages. Only variants that C++ can load (tvm-ffi) are considered.
///
/// A repository of the Hub is resolved anew in each process and fetched where the cache lacks something; with
/// `HF_HUB_OFFLINE` the cache must have it. A locked one is taken at its commit and every file is verified
/// against `kernels.sum`. Publishers that the Hub does not trust need `trust_remote_code`. A folder of the
/// user's is taken as it is. Signatures are verified as by `kernels download`.
std::shared_ptr<layers::KernelSource> hub_kernel_source(KernelSourceOptions options);

/// The same with the settings of the environment, and the provider that is installed with this library or
/// beside the program (`KERNELS_TVM_FFI` names another); `KERNELS_SIGNATURES` counts. Errors
/// invalid_argument: a bad setting; not_found: no provider.
Result<std::shared_ptr<layers::KernelSource>> hub_kernel_source();

/// The layers of a project's lock as a mapping: `kernels.lock` and `kernels.sum` of `folder`.
/// Errors  not_found: no lock, or one without `kernels.sum`; and those of `load_lock_files`.
Result<layers::KernelMapping> load_kernel_mapping(const std::filesystem::path& folder);

}  // namespace kernels::ops
