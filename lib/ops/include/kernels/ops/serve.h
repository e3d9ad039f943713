#pragma once

#include <filesystem>
#include <memory>

#include "kernels/base/error.h"
#include "kernels/hub/server.h"

namespace kernels::ops {

struct ServeRequest {
  std::filesystem::path cache;  ///< root of the cache, as in `Layout`
  hub::ServeOptions options;
};

/// Starts a read-only Hub over a cache. It serves until the result is stopped or destroyed, and sees what is
/// added to the cache meanwhile.
/// Errors  not_found: there is no such folder; io: the address cannot be had.
Result<std::unique_ptr<hub::HubServer>> serve(const ServeRequest& request);

}  // namespace kernels::ops
