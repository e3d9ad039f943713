#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "kernels/base/byte_source.h"
#include "kernels/hub/api.h"

namespace kernels::hub {

/// What range requests have fetched, all files together.
struct RangeCounters {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;
};

/// The bytes of a file on the Hub, fetched piece by piece as they are asked for: what is announced with
/// `prefetch` at once, over several connections. Pieces stay in memory, at most 32 MiB of them.
///
/// `url` may redirect; further requests go to where the first one ended. The bytes are not verified: only a
/// file that was read to its end can be. Errors   of `view`: network, with what the server answered; corrupt:
/// outside of `size`; interrupted;
///          unsupported: more than 32 MiB. A server that does not know ranges is a network error: the whole
///          file is never fetched by mistake.
/// Threads  that of the client. `client`, `api` and `counters` must outlive it.
std::unique_ptr<ByteSource> make_range_source(HttpClient& client, Api& api, std::string url,
                                              std::uint64_t size, std::stop_token stop,
                                              RangeCounters& counters);

}  // namespace kernels::hub
